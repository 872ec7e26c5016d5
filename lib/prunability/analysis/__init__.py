"""Statistics over finished runs, as pure functions of arrays and tables. It uses records and what these use."""
