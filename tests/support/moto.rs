//! moto, as a second opinion.
