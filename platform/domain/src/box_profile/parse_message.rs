//! The templates of messages, and where each kind of downlink goes out.

use wire::Channel;

use super::file;
use super::json::Node;
use super::render::{Form, MessageTemplate};
use super::scope;
use super::source::{Result, Source, known_only};
use super::template::{Placeholder, Template};
use super::topics::IN_TOPICS;

const NOT_JOINED: &str = "messages.clips.join must say how clips stand in a text";

/// Reads the templates of messages.
pub(super) struct MessageReader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) subscribe: &'a [(String, Template)],
    /// Whether the profile says how clips stand in a text.
    pub(super) joins_clips: bool,
}

impl MessageReader<'_> {
    /// A message. `known`: the placeholders that it may have beside those of every message; `needs`: of which it has at
    /// least one. `place`: the topic that other messages of the channel go out on.
    pub(super) fn message(
        &self,
        message: file::Message,
        key: &str,
        known: &[Placeholder],
        needs: &[Placeholder],
        place: &mut Option<usize>,
    ) -> Result<MessageTemplate> {
        let source = self.source;
        let topic = message.topic;
        let topic_key = format!("{key}.topic");
        let found = self
            .subscribe
            .iter()
            .position(|(name, _)| name == topic.get_ref())
            .ok_or_else(|| {
                let problem = "there is no such topic in topics.subscribe";
                source.error(&topic, &topic_key, problem)
            })?;
        if *place.get_or_insert(found) != found {
            let problem = "messages of this kind go out on one topic";
            return Err(source.error(&topic, topic_key, problem));
        }
        let crc32 = message
            .crc32
            .map(|text| source.template(&text, &format!("{key}.crc32"), &[known, IN_TOPICS]))
            .transpose()?;
        let with_crc32: &[Placeholder] = match crc32 {
            Some(_) => &[Placeholder::Crc32],
            None => &[],
        };
        let scope = [known, IN_TOPICS, scope::EVERY, with_crc32];
        let form = match (message.json, message.text) {
            (Some(shape), None) if message.refuse.is_empty() => {
                let check = |template: &Template| {
                    known_only(template, &scope)?;
                    let in_text = template.parts.len() > 1 && template.names(Placeholder::Clips);
                    if in_text && !self.joins_clips {
                        return Err(NOT_JOINED.to_owned());
                    }
                    Ok(())
                };
                let node = Node::compile(shape, &check).map_err(|misplaced| {
                    let key = format!("{key}.json{}", misplaced.path);
                    source.at(misplaced.offset, key, misplaced.problem)
                })?;
                Form::Json(node)
            }
            (None, Some(text)) => {
                let text_key = format!("{key}.text");
                let template = source.template(&text, &text_key, &scope)?;
                let problem = if template.names(Placeholder::Clip) {
                    "{clip} is for lists in JSON"
                } else if template.names(Placeholder::Clips) && !self.joins_clips {
                    NOT_JOINED
                } else {
                    ""
                };
                if !problem.is_empty() {
                    return Err(source.error(&text, text_key, problem));
                }
                Form::Text {
                    template,
                    refuse: message.refuse,
                }
            }
            _ => {
                let problem =
                    "a message has either json, or text and what its values are refused for";
                return Err(source.error(&topic, key, problem));
            }
        };
        let template = MessageTemplate { form, crc32 };
        if !needs.is_empty() && !needs.iter().any(|one| template.names(*one)) {
            let needs: Vec<String> = needs.iter().map(|one| format!("{{{one}}}")).collect();
            let problem = format!("it names none of {}", needs.join(", "));
            return Err(source.error(&topic, key, problem));
        }
        Ok(template)
    }
}

/// Where each kind of downlink goes out, while it is being found out.
#[derive(Default)]
pub(super) struct Downlinks([Option<usize>; Channel::DOWNLINKS.len()]);

impl Downlinks {
    pub(super) fn of(&mut self, channel: Channel) -> &mut Option<usize> {
        let place = Channel::DOWNLINKS.iter().position(|one| *one == channel);
        &mut self.0[place.unwrap_or_default()]
    }

    /// Whether commands go out where codes do, so that a command can show a code.
    pub(super) fn shows_codes_by_command(&mut self) -> bool {
        let Some(qr) = *self.of(Channel::DynamicQrResponse) else {
            return false;
        };
        *self.of(Channel::Command).get_or_insert(qr) == qr
    }

    /// What the profile has no message for goes nowhere; a topic stands for it all the same, that of the payments.
    pub(super) fn complete(mut self) -> [usize; Channel::DOWNLINKS.len()] {
        let payments = self.of(Channel::PaymentSuccess).unwrap_or_default();
        self.0.map(|place| place.unwrap_or(payments))
    }
}
