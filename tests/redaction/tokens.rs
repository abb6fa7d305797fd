//! What is no token, and what is one once the white space around it is gone.

use tower_reauth::{AccessToken, RefreshToken};

use crate::printed::{assert_clean, chain, debug};

/// Case 68.
#[test]
fn an_access_token_with_a_newline_inside_or_a_byte_beyond_ascii_is_refused() {
    for text in [
        "canary\ntoken",
        "canary\r\nx: y",
        "canary\0",
        "canary token",
        "canary\ttoken",
        "canäry",
        "canary\u{7f}",
        "Bearer canary",
        "\u{a0}canary\u{feff}",
        "",
        "  \n",
        "==",
    ] {
        let error = AccessToken::new(text).unwrap_err();
        assert_clean(text, &(chain(&error) + &debug(error)));
    }
}

/// As Salesforce, Amazon and Laravel issue them, and as signed texts of Rails look.
#[test]
fn an_access_token_may_have_whatever_a_header_can_carry() {
    for text in ["00Dx0!AQ.canary", "Atza|canary", "1|canary", "canary==--0a1b", "canary\",:"] {
        assert_eq!(AccessToken::new(text).unwrap().expose_secret(), text);
    }
}

/// Case 68.
#[test]
fn a_refresh_token_with_a_newline_inside_or_a_byte_beyond_ascii_is_refused() {
    for text in
        ["canary\ntoken", "canary\r\nx: y", "canary\0", "canäry", "canary\u{7f}", "", " \t\n"]
    {
        let error = RefreshToken::new(text).unwrap_err();
        assert_clean(text, &(chain(&error) + &debug(error)));
    }
}

/// Case 68.
#[test]
fn white_space_around_a_token_as_from_a_file_is_trimmed() {
    for text in ["canary", "canary\n", "canary\r\n", " canary\t", "\n\ncanary \n"] {
        assert_eq!(AccessToken::new(text).unwrap().expose_secret(), "canary");
        assert_eq!(RefreshToken::new(text).unwrap().expose_secret(), "canary");
    }
    assert_eq!(
        AccessToken::new("mF_9.B5f-4.1JqM~+/==\n").unwrap().expose_secret(),
        "mF_9.B5f-4.1JqM~+/=="
    );
    assert_eq!(
        RefreshToken::new("with spaces inside\n").unwrap().expose_secret(),
        "with spaces inside"
    );
}
