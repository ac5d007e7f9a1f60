//! The image, the compose file, and the version in shipped files.

mod compose;
mod image;
mod versions;
