//! The topics of a box.

use wire::Channel;

use super::error::ValueError;
use super::login::LoginTemplates;
use super::template::{Part, Placeholder, Template};
use super::values::BoxValues;

/// The longest topic of a profile, in bytes, before its values are in it.
const TEMPLATE_LEN_MAX: usize = 128;

/// What one box publishes and subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What it may publish.
    pub publish: Vec<PublishTopic>,
    /// What it may subscribe to.
    pub subscribe: Vec<String>,
    /// The topic of each downlink, in the order of [`Channel::DOWNLINKS`]; one of those that the box subscribes to.
    pub downlinks: [String; Channel::DOWNLINKS.len()],
}

/// A topic that a box publishes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishTopic {
    /// The topic.
    pub topic: String,
    /// The channel of the contract that comes nearest to what it carries: for limits and figures, not for what a
    /// message means, which only [`Profile::read`](super::Profile::read) knows.
    pub channel: Channel,
}

/// The topics of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicTemplates {
    pub(super) publish: Vec<(String, Template, Channel)>,
    pub(super) subscribe: Vec<(String, Template)>,
    /// For each downlink, which of `subscribe`.
    pub(super) downlinks: [usize; Channel::DOWNLINKS.len()],
}

impl TopicTemplates {
    pub(super) fn of(
        &self,
        login: &LoginTemplates,
        values: &BoxValues,
    ) -> Result<Topics, ValueError> {
        let fill = |template: &Template| login.fill(template, values);
        let publish = self.publish.iter().map(|(_, template, channel)| {
            let topic = fill(template)?;
            Ok(PublishTopic {
                topic,
                channel: *channel,
            })
        });
        let publish = publish.collect::<Result<_, _>>()?;
        let subscribe = self.subscribe.iter().map(|(_, template)| fill(template));
        let subscribe: Vec<String> = subscribe.collect::<Result<_, _>>()?;
        Ok(Topics {
            publish,
            downlinks: self.downlinks.map(|place| subscribe[place].clone()),
            subscribe,
        })
    }
}

/// The placeholders that a topic may have.
pub(super) const IN_TOPICS: &[Placeholder] = &[
    Placeholder::Serial,
    Placeholder::Imei,
    Placeholder::ProductKey,
    Placeholder::DeviceId,
    Placeholder::Username,
    Placeholder::ClientId,
];

/// Judges the template of a topic. `own`: it must say whose it is.
///
/// A level has at most one placeholder. So two boxes with different values never have the same topic.
pub(super) fn check(template: &Template, own: bool) -> Result<(), String> {
    let mut in_level = 0;
    let mut len = 0;
    for part in &template.parts {
        match part {
            Part::Literal(literal) => {
                len += literal.len();
                if literal
                    .chars()
                    .any(|c| matches!(c, '+' | '#') || c.is_control())
                {
                    return Err("a topic has no wildcards and no control characters".to_owned());
                }
                if literal.contains('/') {
                    in_level = 0;
                }
            }
            Part::Value { .. } => {
                in_level += 1;
                if in_level > 1 {
                    return Err("a level of a topic has at most one placeholder".to_owned());
                }
            }
        }
    }
    if template.parts.is_empty() || len > TEMPLATE_LEN_MAX {
        return Err(format!("a topic has 1 to {TEMPLATE_LEN_MAX} bytes"));
    }
    if let Some(Part::Literal(first)) = template.parts.first()
        && first.starts_with('$')
    {
        return Err("topics that begin with $ are the broker's".to_owned());
    }
    let names_box = template
        .placeholders()
        .any(|placeholder| placeholder != Placeholder::ProductKey);
    if own && !names_box {
        return Err("a topic that a box subscribes to must name the box".to_owned());
    }
    Ok(())
}
