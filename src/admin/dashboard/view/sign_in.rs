//! Sign-in page.

use maud::{Markup, html};

use super::Frame;
use super::parts::notice::{Tone, notice};

/// The form. `back`: the page to open afterwards; `refused`: the token was wrong.
pub(in crate::admin::dashboard) fn page(back: &str, refused: bool) -> Markup {
    let main = html! {
        div.narrow {
            h1 { "Sign in" }
            @if refused {
                (notice(Tone::Bad, "That is not a token of this worker.", None,
                    Some("Read one from the file or variable that the config names in [server] or [[token]].")))
            }
            form.card method="post" action="/sign-in" {
                input type="hidden" name="back" value=(back);
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password"
                    autofocus spellcheck="false" aria-describedby="token-help";
                p #token-help .hint {
                    "It is sent once. This browser then keeps a session of 12 hours, which ends when the token changes."
                }
                button.primary type="submit" { "Sign in" }
            }
        }
    };
    Frame {
        title: "Sign in",
        ..Frame::default()
    }
    .wrap(&main)
}
