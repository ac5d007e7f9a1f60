//! The page that asks for the token.

use maud::{Markup, html};

use super::{Frame, Tone, notice};

/// The form. `back`: where to go on; `refused`: what was given was not the token.
pub(in crate::admin::dashboard) fn page(back: &str, refused: bool) -> Markup {
    let main = html! {
        div.narrow {
            h1 { "Sign in" }
            @if refused {
                (notice(Tone::Bad, "That is not the admin token.", None,
                    Some("It is in the file or variable that the config names under [server], admin_token_file or admin_token.")))
            }
            form.card method="post" action="/sign-in" {
                input type="hidden" name="back" value=(back);
                label for="token" { "Admin token" }
                input #token type="password" name="token" required autocomplete="current-password"
                    autofocus spellcheck="false" aria-describedby="token-help";
                p #token-help .hint {
                    "It is sent once. This browser keeps a session of 12 hours in its place, which ends when the token changes."
                }
                button.primary type="submit" { "Sign in" }
            }
        }
    };
    Frame {
        title: "Sign in",
        ..Frame::default()
    }
    .around(&main)
}
