//! Notification JSON: what is taken is what a plain reader finds in it, within the limits; what is not taken is
//! refused in one line that repeats nothing of it.

use cellgate::config::is_access_token;
use cellgate::limits::{DECLARED_MAX, NOTIFICATION_MAX};
use cellgate::protocol::ids::ServiceId;
use cellgate::protocol::notification::Notification;
use serde_json::Value;

use crate::heap::peak_of;

/// What reading may take beside the payload: copies of texts with escapes in them, and the list of services.
const READING_MAX: usize = 3 * NOTIFICATION_MAX + 4 * 1024;

pub fn run(input: &[u8]) {
    let (parsed, peak) = peak_of(|| Notification::parse(input));
    assert!(
        peak <= READING_MAX,
        "{} bytes took {peak} more",
        input.len()
    );
    match parsed {
        Ok(taken) => same(&taken, input),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 400 && !said.contains(char::is_control));
            assert!(!repeats(&said, input), "{said}");
        }
    }
    let text = String::from_utf8_lossy(input);
    match Notification::of_token(&text) {
        Ok(taken) => assert_eq!(taken.access_token.expose(), text.trim_ascii()),
        Err(error) => assert!(!repeats(&error.to_string(), input), "{error}"),
    }
}

fn same(taken: &Notification, input: &[u8]) {
    let plain: Value = match serde_json::from_slice(input) {
        Ok(plain) => plain,
        // The plain reader looks into fields that are passed over: a number too large for it, a half of a
        // surrogate pair. Both are passed over on purpose.
        Err(error) => {
            let known = [
                "number out of range",
                "surrogate",
                "hex escape",
                "recursion",
            ];
            let said = error.to_string();
            assert!(known.iter().any(|known| said.contains(known)), "{said}");
            return;
        }
    };
    assert_eq!(plain["clientMode"], "destination");
    assert_eq!(plain["clientAccessToken"], taken.access_token.expose());
    assert!(is_access_token(taken.access_token.expose()));
    let region = taken
        .region
        .as_ref()
        .expect("a notification names its region");
    assert_eq!(plain["region"], region.as_str());
    let mut named: Vec<&str> = Vec::new();
    for service in plain["services"].as_array().into_iter().flatten() {
        let service = service.as_str().expect("a service is a text");
        if !named.contains(&service) {
            named.push(service);
        }
    }
    let services = taken.services.iter().flatten().map(ServiceId::as_str);
    assert_eq!(services.collect::<Vec<&str>>(), named);
    assert!(named.len() <= DECLARED_MAX);
}

/// Whether a message repeats a piece of the input that it does not say by itself.
fn repeats(said: &str, input: &[u8]) -> bool {
    const LONG: usize = 20;
    // What the messages say of their own.
    const OWN: [&[u8]; 4] = [
        b"clientAccessToken",
        b"destination",
        b"eu-central-1",
        b"source",
    ];
    let own = |piece: &[u8]| {
        OWN.iter()
            .any(|own| piece.windows(own.len()).any(|w| w == *own))
    };
    let words = |piece: &[u8]| piece.iter().filter(|byte| **byte == b' ').count() > 1;
    input
        .windows(LONG)
        .filter(|piece| !own(piece) && !words(piece))
        .any(|piece| said.as_bytes().windows(LONG).any(|told| told == piece))
}
