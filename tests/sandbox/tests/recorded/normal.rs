//! Taking out of texts what can't be equal: random numbers, hashes, times of the installation, measurements.

/// The text without what differs between any two installations.
pub fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for element in [
        "REQUEST_ID",
        "REQ_ID",
        "UUID",
        "PASSWORD",
        "TOKEN_PASSWORD",
        "TOKEN",
        "REGTIME",
        "MODTIME",
        "LAST_POLL",
        "EXPIRATION_TIME",
    ] {
        text = masked(&text, element);
    }
    // Measurements of the dummy hypervisor, which this one doesn't invent.
    text = without(&text, "MONITORING");
    // A plan's number is written a moment later than the record.
    text = text.replace("<PLAN_ID>-2</PLAN_ID>", "<PLAN_ID>-1</PLAN_ID>");
    text = text.replace("<ACTION_ID>-1</ACTION_ID>", "<ACTION_ID>0</ACTION_ID>");
    without_random_mac(&without_times(&text))
}

/// A NIC without an address of its own has a random MAC address. All others follow from their addresses.
fn without_random_mac(text: &str) -> String {
    let mut pieces = text.split("02:00:");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let is_address = piece.starts_with("c0:00:02:") || piece.starts_with("c6:33:64:");
        out.push_str("02:00:");
        out.push_str(if is_address { piece } else { &piece[11..] });
    }
    out
}

/// Times of the recording, which vary by a second: those that are 0 stay.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("17953") {
        let digits = rest[at..].bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..at]);
        out.push_str(if digits == 10 {
            "TIME"
        } else {
            &rest[at..at + digits]
        });
        rest = &rest[at + digits..];
    }
    out.push_str(rest);
    match out.find("Sun Nov 22 ") {
        Some(at) if out.len() > at + 24 => format!("{}DATE{}", &out[..at], &out[at + 24..]),
        _ => out,
    }
}

/// Replaces the content of an element by `*`, CDATA or not.
fn masked(text: &str, element: &str) -> String {
    edited(text, element, |content| {
        let is_yes_or_no = content.contains("YES") || content.contains("NO");
        if is_yes_or_no {
            content.to_owned()
        } else {
            "*".into()
        }
    })
}

fn without(text: &str, element: &str) -> String {
    let emptied = edited(text, element, |_| String::new());
    emptied.replace(&format!("<{element}/>"), &format!("<{element}></{element}>"))
}

fn edited(text: &str, element: &str, edit: impl Fn(&str) -> String) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(&open) {
        let content = &rest[start + open.len()..];
        let Some(end) = content.find(&close) else { break };
        out.push_str(&rest[..start + open.len()]);
        out.push_str(&edit(&content[..end]));
        out.push_str(&close);
        rest = &content[end + close.len()..];
    }
    out.push_str(rest);
    out
}

/// The first place where two texts differ, with what surrounds it.
pub fn difference(ours: &str, theirs: &str) -> String {
    let at = ours
        .bytes()
        .zip(theirs.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let around = |text: &str| {
        let start = (0..=at.min(text.len()).saturating_sub(120))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        let end = (at + 200).min(text.len());
        let end = (end..=text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(text.len());
        text[start..end].to_owned()
    };
    format!("ours:   {}\ntheirs: {}", around(ours), around(theirs))
}
