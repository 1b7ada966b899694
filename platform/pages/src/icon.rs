//! Icons: our own drawings, in the text's colour and size.

use maud::{Markup, PreEscaped, html};

/// Declares icons by the path that is drawn on 24 × 24.
macro_rules! icons {
    ($($name:ident $path:literal)+) => {
        $(
            /// The icon of its name.
            pub(crate) fn $name() -> Markup {
                draw($path)
            }
        )+
    };
}

icons! {
    now "M3 12h4l3 8 4-16 3 8h4"
    payment "M3 6h18v12H3zM3 10h18M7 15h4"
    device "M7 3h10v18H7zM12 17h.01M10 7h4"
    merchant "M4 10v10h16V10M2 10l2-6h16l2 6zM9 20v-6h6v6"
    alert "M12 3 2 20h20zM12 10v4M12 17h.01"
    check "M4 12l5 5L20 6"
    cross "M6 6l12 12M18 6L6 18"
    sound "M4 9v6h4l5 4V5L8 9zM17 8a6 6 0 0 1 0 8M20 5a10 10 0 0 1 0 14"
    sent "M3 12h15M12 5l7 7-7 7"
    dots "M5 12h.01M12 12h.01M19 12h.01"
    undo "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6"
    exit "M10 4H5v16h5M14 8l4 4-4 4M18 12H9"
    code "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 18h2v2h-2zM18 14h2M14 18h2"
    person "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 21a8 8 0 0 1 16 0"
    home "M3 11 12 4l9 7M6 9v11h12V9"
    history "M4 12a8 8 0 1 0 3-6M4 4v4h4M12 8v5l3 2"
    download "M12 4v11M7 11l5 5 5-5M5 20h14"
    rollout "M4 6h10M4 12h16M4 18h6M18 3l3 3-3 3"
    settings "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4"
    book "M5 4h12a2 2 0 0 1 2 2v14H7a2 2 0 0 1-2-2zM5 18a2 2 0 0 1 2-2h12M9 8h6"
    payout "M3 7h18v10H3zM12 10v4M9 20l3 3 3-3"
    scales "M12 4v16M7 20h10M4 8h16M4 8l-2 6h6zM20 8l-2 6h6z"
    incident "M12 3l9 5v8l-9 5-9-5V8zM12 8v5M12 16h.01"
    partner "M4 20V9l8-5 8 5v11M9 20v-6h6v6M4 20h16"
    log "M6 3h12v18H6zM9 8h6M9 12h6M9 16h4"
    people "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2 20a7 7 0 0 1 14 0M16 5.5a3 3 0 0 1 0 6M18 14a6 6 0 0 1 4 6"
    copy "M9 9h11v11H9zM5 15H4V4h11v1"
}

fn draw(path: &'static str) -> Markup {
    html! {
        svg.icon viewBox="0 0 24 24" aria-hidden="true" { path d=(PreEscaped(path)) {} }
    }
}
