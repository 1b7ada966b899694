//! Merchants, their outlets and terminals, and what a merchant sees of its own.

pub mod merchant;
pub mod outlet;
pub mod partner_name_file;
pub mod portal;
pub mod suspension;
pub mod terminal;
