//! Every rule finds what its program does, finds nothing in the program's twin, and is explained.

mod cases;
mod command;
mod correct;
mod explanations;
mod goldens;
mod levels;
mod snapshots;
mod sources;
mod table;
