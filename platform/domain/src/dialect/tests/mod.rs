mod file;
mod golden;
mod snap;
