//! From the text of a profile to a profile: everything that can be wrong with it is found here.

use std::collections::BTreeMap;

use toml::Spanned;
use wire::{Channel, Language};

use super::file::{self, File, Speaks};
use super::fill::Clips;
use super::login::{IN_LOGINS, LoginTemplates};
use super::parse_message::{Downlinks, MessageReader};
use super::render::{MessageTemplate, Messages};
use super::source::{Result, Source};
use super::template::{Placeholder, Template};
use super::topics::{self, IN_TOPICS, TopicTemplates};
use super::uplink::{self, Body, JsonRule, Meaning, Rule};
use super::{Confirmation, Profile, Unconfirmed, VendorProtocol, scope};
use crate::command::CommandType;

/// The most topics in one direction, and the most rules for uplinks.
const TOPICS_MAX: usize = 16;
const RULES_MAX: usize = 64;
/// The longest message that a profile may allow.
const BYTES_MAX: usize = 4096;
/// The longest name of a clip, in bytes.
const CLIP_LEN_MAX: usize = 64;

/// Reads a profile.
///
/// # Errors
/// An unknown key, a missing field, a template that names nothing: the first, with its line and key.
pub(super) fn parse(name: &str, text: &str) -> Result<Profile> {
    let source = Source { name, text };
    let file: File = toml::from_str(text).map_err(|error| source.syntax(&error))?;
    let sources = &file.sources;
    if sources.get_ref().is_empty() {
        return Err(source.error(sources, "sources", "say where the facts are from"));
    }
    let speaks = *file.speaks.get_ref();
    let parts = (file.transport, file.topics, file.ids, file.messages);
    let (confirmation, deduplicates) = (file.confirmation, file.deduplicates);
    let protocol = match (speaks, parts) {
        (Speaks::Contract, (None, None, None, None)) if file.uplinks.is_empty() => None,
        (Speaks::Contract, _) => {
            let problem = "the contract needs no transport, topics, ids, messages or uplinks";
            return Err(source.error(&file.speaks, "speaks", problem));
        }
        (Speaks::OwnProtocol, (Some(transport), Some(topics), Some(ids), Some(messages))) => {
            let protocol = source.protocol(transport, topics, ids, messages, file.uplinks)?;
            source.promises(&protocol, &confirmation, &deduplicates)?;
            Some(protocol)
        }
        (Speaks::OwnProtocol, _) => {
            let problem = "a protocol of its own needs transport, topics, ids and messages";
            return Err(source.error(&file.speaks, "speaks", problem));
        }
    };
    let unconfirmed = source.unconfirmed(file.unconfirmed)?;
    Ok(Profile {
        name: name.to_owned(),
        title: file.title.into_inner(),
        sources: file.sources.into_inner(),
        unconfirmed,
        confirmation: confirmation.into_inner(),
        deduplicates: deduplicates.into_inner(),
        capabilities: file.capabilities,
        protocol,
    })
}

impl Source<'_> {
    /// The keys that are marked as unconfirmed must be there.
    fn unconfirmed(&self, entries: Vec<file::UnconfirmedEntry>) -> Result<Vec<Unconfirmed>> {
        let whole: toml::Value = toml::from_str(self.text).map_err(|error| self.syntax(&error))?;
        let found = |key: &str| {
            key.split('.').try_fold(&whole, |value, step| match value {
                toml::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                _ => value.get(step),
            })
        };
        let check = |entry: file::UnconfirmedEntry| {
            if found(entry.key.get_ref()).is_none() {
                let problem = format!("there is no {}", entry.key.get_ref());
                return Err(self.error(&entry.key, "unconfirmed.key", problem));
            }
            Ok(Unconfirmed {
                key: entry.key.into_inner(),
                note: entry.note,
            })
        };
        entries.into_iter().map(check).collect()
    }

    fn protocol(
        &self,
        transport: file::Transport,
        topics: file::Topics,
        ids: file::Ids,
        messages: file::Messages,
        uplinks: Vec<file::Uplink>,
    ) -> Result<VendorProtocol> {
        let login = self.login(transport)?;
        let subscribe = self.topics("topics.subscribe", topics.subscribe.get_ref(), true)?;
        if subscribe.is_empty() {
            let problem = "a box subscribes to at least one topic";
            return Err(self.error(&topics.subscribe, "topics.subscribe", problem));
        }
        let publish = self.topics("topics.publish", &topics.publish, false)?;
        let (messages, downlinks) = self.messages(messages, &subscribe)?;
        let rules = self.uplinks(uplinks, &publish, &messages)?;
        let publish = publish
            .into_iter()
            .enumerate()
            .map(|(place, (name, template))| {
                let of = rules.iter().filter(|rule| rule.topic == place);
                let channel = of.map(|rule| rule.means.channel()).max();
                (name, template, channel.unwrap_or(Channel::Heartbeat))
            });
        Ok(VendorProtocol {
            login,
            topics: TopicTemplates {
                publish: publish.collect(),
                subscribe,
                downlinks,
            },
            ids: ids.form,
            messages,
            uplinks: rules,
        })
    }

    fn login(&self, transport: file::Transport) -> Result<LoginTemplates> {
        let text = |text: &Spanned<String>, key: &str| {
            let template = self.template(text, key, &[IN_LOGINS])?;
            // Otherwise two boxes would be one.
            if template
                .placeholders()
                .all(|one| one == Placeholder::ProductKey)
            {
                return Err(self.error(text, key, "must name the box"));
            }
            Ok(template)
        };
        let (password, weaker) = self.password(transport.password)?;
        let keep_alive_s = *transport.keep_alive_s.get_ref();
        if keep_alive_s == 0 {
            let problem = "a box that is silent for ever is never missed";
            return Err(self.error(&transport.keep_alive_s, "transport.keep_alive_s", problem));
        }
        Ok(LoginTemplates {
            bootstrap: transport.bootstrap,
            client_id: text(&transport.client_id, "transport.client_id")?,
            username: text(&transport.username, "transport.username")?,
            password,
            weaker,
            keep_alive_s,
            clean_session: transport.clean_session,
        })
    }

    fn topics(
        &self,
        table: &str,
        written: &BTreeMap<String, Spanned<String>>,
        own: bool,
    ) -> Result<Vec<(String, Template)>> {
        let mut topics = Vec::with_capacity(written.len());
        for (name, text) in written {
            let key = format!("{table}.{name}");
            let template = self.template(text, &key, &[IN_TOPICS])?;
            topics::check(&template, own).map_err(|problem| self.error(text, &key, problem))?;
            if topics.iter().any(|(_, known)| *known == template) {
                return Err(self.error(text, key, "another name has the same topic"));
            }
            topics.push((name.clone(), template));
            if topics.len() > TOPICS_MAX {
                return Err(self.error(text, key, format!("more than {TOPICS_MAX} topics")));
            }
        }
        Ok(topics)
    }

    fn messages(
        &self,
        messages: file::Messages,
        subscribe: &[(String, Template)],
    ) -> Result<(Messages, [usize; Channel::DOWNLINKS.len()])> {
        let bytes_max = *messages.bytes_max.get_ref();
        if !(1..=BYTES_MAX).contains(&bytes_max) {
            let problem = format!("from 1 to {BYTES_MAX}");
            return Err(self.error(&messages.bytes_max, "messages.bytes_max", problem));
        }
        let clips = self.clips(messages.clips)?;
        let reader = MessageReader {
            source: self,
            subscribe,
            joins_clips: clips.join.is_some(),
        };
        let mut downlinks = Downlinks::default();
        let payment = reader.message(
            messages.payment,
            "messages.payment",
            scope::PAYMENT,
            scope::PAYMENT_NEEDS,
            downlinks.of(Channel::PaymentSuccess),
        )?;
        let mut optional = |message: Option<file::Message>, key, known, needs, channel| {
            let place = downlinks.of(channel);
            message
                .map(|message| reader.message(message, key, known, needs, place))
                .transpose()
        };
        let qr = optional(
            messages.qr,
            "messages.qr",
            scope::QR,
            scope::QR_NEEDS,
            Channel::DynamicQrResponse,
        )?;
        let qr_refused = optional(
            messages.qr_refused,
            "messages.qr_refused",
            scope::QR_REFUSED,
            &[],
            Channel::DynamicQrResponse,
        )?;
        let configuration = optional(
            messages.configuration,
            "messages.configuration",
            scope::CONFIGURATION,
            scope::CONFIGURATION_NEEDS,
            Channel::ConfigPush,
        )?;
        let mut commands = Vec::with_capacity(messages.command.len());
        for (name, message) in messages.command {
            let key = format!("messages.command.{name}");
            let kind: CommandType = name
                .parse()
                .map_err(|_| self.error(&message.topic, &key, "is no type of command"))?;
            let (known, needs) = scope::command(kind);
            let place = downlinks.of(Channel::Command);
            commands.push((kind, reader.message(message, &key, known, needs, place)?));
        }
        let messages = Messages {
            bytes_max,
            clips,
            payment,
            qr,
            qr_refused,
            configuration,
            commands,
            shows_codes_by_command: downlinks.shows_codes_by_command(),
        };
        Ok((messages, downlinks.complete()))
    }

    /// The maker's names of clips: for clips that the language has, and without a character that ends a name in a list.
    fn clips(&self, clips: file::Clips) -> Result<Clips> {
        let mut names = BTreeMap::new();
        for (tag, of_language) in clips.names {
            let key = |clip: &str| format!("messages.clips.names.{tag}.{clip}");
            let known = Language::ALL.iter().find(|one| one.as_str() == tag);
            let known = known.map(|language| (*language, wire::speech::clips(*language)));
            let mut of_maker = BTreeMap::new();
            for (clip, name) in of_language {
                let Some((_, listed)) = &known else {
                    return Err(self.error(&name, key(&clip), format!("{tag} is no language")));
                };
                if !listed.iter().any(|token| token.clip == clip) {
                    return Err(self.error(&name, key(&clip), "the language has no such clip"));
                }
                if !is_clip_name(name.get_ref()) {
                    let problem =
                        format!("a clip's name has 1 to {CLIP_LEN_MAX} letters, digits, _ and -");
                    return Err(self.error(&name, key(&clip), problem));
                }
                of_maker.insert(clip, name.into_inner());
            }
            names.extend(known.map(|(language, _)| (language, of_maker)));
        }
        Ok(Clips {
            suffix: clips.suffix,
            join: clips.join,
            names,
        })
    }

    fn uplinks(
        &self,
        uplinks: Vec<file::Uplink>,
        publish: &[(String, Template)],
        messages: &Messages,
    ) -> Result<Vec<Rule>> {
        let mut rules = Vec::with_capacity(uplinks.len());
        for (index, uplink) in uplinks.into_iter().enumerate() {
            let key = format!("uplinks.{index}");
            if index >= RULES_MAX {
                return Err(self.error(&uplink.topic, key, format!("more than {RULES_MAX}")));
            }
            self.answered(&uplink, &key, messages)?;
            rules.push(self.uplink(uplink, &key, publish)?);
        }
        Ok(rules)
    }

    /// What a button asks for must have an answer that is heard, also when there is nothing to repeat.
    fn answered(&self, uplink: &file::Uplink, key: &str, messages: &Messages) -> Result<()> {
        let total = messages.command(CommandType::AnnounceTotal);
        let problem = match uplink.means.get_ref() {
            Meaning::TotalRequest if total.is_none() => "needs messages.command.announce_total",
            Meaning::ReplayRequest if !total.is_some_and(MessageTemplate::says_the_sentence) => {
                "needs a messages.command.announce_total with {text}, {clips} or {clip}, by which the box says that nothing \
                 was paid"
            }
            Meaning::ReplayRequest if !messages.payment.says_the_sentence() => {
                "needs a messages.payment with {text}, {clips} or {clip}: a repetition would sound like a new payment"
            }
            _ => return Ok(()),
        };
        Err(self.error(&uplink.means, format!("{key}.means"), problem))
    }

    fn uplink(
        &self,
        uplink: file::Uplink,
        key: &str,
        publish: &[(String, Template)],
    ) -> Result<Rule> {
        let topic = publish
            .iter()
            .position(|(name, _)| name == uplink.topic.get_ref())
            .ok_or_else(|| {
                let problem = "there is no such topic in topics.publish";
                self.error(&uplink.topic, format!("{key}.topic"), problem)
            })?;
        let means = *uplink.means.get_ref();
        let pointer = |text: Option<Spanned<String>>, name: &str| {
            text.map(|text| self.pointer(text, &format!("{key}.{name}")))
                .transpose()
        };
        let mut fields = JsonRule {
            when: Vec::with_capacity(uplink.when.len()),
            id: pointer(uplink.id, "id")?,
            amount: None,
            reason: pointer(uplink.reason, "reason")?,
            battery: pointer(uplink.battery, "battery")?,
            network: None,
            firmware_version: pointer(uplink.firmware_version, "firmware_version")?,
            state: pointer(uplink.state, "state")?,
        };
        if let Some(amount) = uplink.amount {
            fields.amount = pointer(Some(amount.at), "amount.at")?.map(|at| (at, amount.form));
        }
        if let Some(network) = uplink.network {
            fields.network = pointer(Some(network.at), "network.at")?.map(|at| (at, network.scale));
        }
        for (at, words) in uplink.when {
            let span = words.span();
            let at = self.pointer(Spanned::new(span, at), &format!("{key}.when"))?;
            fields.when.push((at, words.into_inner().into_vec()));
        }
        let (body, has_id, has_amount) = match uplink.text {
            Some(text) => {
                let key = format!("{key}.text");
                let template = self.template(&text, &key, &[uplink::IN_TEXTS])?;
                let check = if fields.is_empty() {
                    uplink::check_text(&template)
                } else {
                    Err("a text has no members".to_owned())
                };
                check.map_err(|problem| self.error(&text, key, problem))?;
                let id = template.names(Placeholder::Id);
                let amount = scope::AMOUNTS.iter().any(|one| template.names(*one));
                (Body::Text(template), id, amount)
            }
            None if fields.is_empty() => (Body::Any, false, false),
            None => {
                let (id, amount) = (fields.id.is_some(), fields.amount.is_some());
                (Body::Json(Box::new(fields)), id, amount)
            }
        };
        if means.needs_id() && !has_id {
            let problem = "this meaning needs an id";
            return Err(self.error(&uplink.means, format!("{key}.means"), problem));
        }
        if means == Meaning::QrRequest && !has_amount {
            let problem = "this meaning needs an amount";
            return Err(self.error(&uplink.means, format!("{key}.means"), problem));
        }
        Ok(Rule { topic, means, body })
    }

    fn pointer(&self, text: Spanned<String>, key: &str) -> Result<String> {
        if text.get_ref().starts_with('/') {
            Ok(text.into_inner())
        } else {
            Err(self.error(&text, key, "a JSON pointer begins with /"))
        }
    }

    /// A profile promises what it can keep.
    fn promises(
        &self,
        protocol: &VendorProtocol,
        confirmation: &Spanned<Confirmation>,
        deduplicates: &Spanned<bool>,
    ) -> Result<()> {
        let means = |wanted| protocol.uplinks.iter().any(|rule| rule.means == wanted);
        let (best, needed) = if means(Meaning::Played) {
            (Confirmation::Played, "played")
        } else if means(Meaning::Received) {
            (Confirmation::Received, "received")
        } else {
            (Confirmation::Puback, "puback")
        };
        if *confirmation.get_ref() != best {
            let problem = format!("by its uplinks it is {needed}");
            return Err(self.error(confirmation, "confirmation", problem));
        }
        if *deduplicates.get_ref() && !protocol.messages.payment.names(Placeholder::Id) {
            let problem = "messages.payment has no {id} by which it could";
            return Err(self.error(deduplicates, "deduplicates", problem));
        }
        Ok(())
    }
}

fn is_clip_name(name: &str) -> bool {
    (1..=CLIP_LEN_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
