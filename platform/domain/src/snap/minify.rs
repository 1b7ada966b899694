//! `minify(RequestBody)`: what SNAP hashes is the body without the whitespace between its tokens.
//!
//! RFC 8259, section 2, has four such characters. Everything else keeps its bytes and its order: a signer and a
//! verifier that parsed and wrote the body again would disagree about escapes, number forms and the order of fields.

/// The body without insignificant whitespace. Strings keep every byte.
///
/// Two different texts may come out the same only if one of them is no JSON (`1 2` and `12`), and such a body is
/// refused when it is read.
pub fn minify(body: &[u8]) -> Vec<u8> {
    let mut minified = Vec::with_capacity(body.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        minified.push(byte);
    }
    minified
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn minified(text: &str) -> String {
        String::from_utf8(minify(text.as_bytes())).unwrap()
    }

    #[test]
    fn whitespace_goes_and_strings_stay() {
        let pretty = " { \"a b\" :\t[ 1 ,\r\n -2.50e+3 , \"x \\\" y\" , \"\\\\\" , null ] } ";
        assert_eq!(
            minified(pretty),
            r#"{"a b":[1,-2.50e+3,"x \" y","\\",null]}"#
        );
        // Other blanks are not JSON's: they stay, and the body will not read.
        assert_eq!(minified("{\u{a0}}"), "{\u{a0}}");
        assert_eq!(minified(""), "");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}|[ \t\n\r\"\\\\]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(("[ \\PC]{0,8}", inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn however_it_is_laid_out_it_minifies_to_the_compact_form(value in json()) {
            let compact = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(&minify(&serde_json::to_vec_pretty(&value).unwrap()), &compact);
            prop_assert_eq!(minify(&compact), compact);
        }
    }
}
