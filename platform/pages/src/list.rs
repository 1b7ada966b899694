//! Lists: pages of rows, newest first, with their filters in the URL.

use std::fmt::Display;
use std::str::FromStr;

use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use domain::wib;
use http_api::csv::CsvFile;
use http_api::error::ApiError;
use maud::{Markup, html};
use service::Error;
use store::{Page, Period};
use uuid::Uuid;

use crate::fault::Fault;
use crate::session::Viewer;
use crate::words::Words;
use crate::words::page::Filters;
use crate::{icon, layout};

/// Where a row stands in its list: its time and its id.
pub(crate) type Place = (DateTime<Utc>, Uuid);

/// Rows on a page.
const ROWS: i64 = 50;

/// Where a page begins: the last row before it, as `microseconds.uuid`.
pub(crate) fn page(after: Option<&str>) -> Result<Page, Error> {
    let after = after
        .filter(|after| !after.is_empty())
        .map(position)
        .transpose()?;
    // One more, to know whether there is another page.
    Ok(Page {
        limit: ROWS + 1,
        after,
    })
}

fn position(text: &str) -> Result<Place, Error> {
    let read = || {
        let (time, id) = text.split_once('.')?;
        let time = DateTime::from_timestamp_micros(time.parse().ok()?)?;
        Some((time, id.parse().ok()?))
    };
    read().ok_or_else(|| Error::field("after", "is not a place in this list"))
}

/// Cuts the extra row off, and tells where the next page begins.
pub(crate) fn cut<T>(rows: &mut Vec<T>, place: impl Fn(&T) -> Place) -> Option<String> {
    let rows_max = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let is_more = rows.len() > rows_max;
    rows.truncate(rows_max);
    let (time, id) = place(rows.last().filter(|_| is_more)?);
    Some(format!("{}.{id}", time.timestamp_micros()))
}

/// The place of a row whose id is a number.
pub(crate) fn numbered(at: DateTime<Utc>, id: i64) -> Place {
    (at, Uuid::from_u128(id.try_into().unwrap_or(0)))
}

/// An id as a list has room for it: its prefix and its end. Its beginning is its time, which is much the same for all.
pub(crate) fn short(id: impl ToString) -> String {
    let id = id.to_string();
    match id.split_once('_') {
        Some((prefix, hex)) if hex.len() == 32 => format!("{prefix}_…{}", &hex[24..]),
        _ => id,
    }
}

/// Days in WIB as a period; an empty text is no limit.
pub(crate) fn period(from: &str, to: &str) -> Result<Period, Error> {
    let day = |name: &'static str, text: &str, is_end: bool| {
        if text.is_empty() {
            return Ok(None);
        }
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let begins = if is_end {
            day.and_then(|day| day.succ_opt())
        } else {
            day
        };
        let moment = begins.and_then(|day| wib::moment(day, NaiveTime::MIN));
        let moment = moment.ok_or_else(|| Error::field(name, "expected a date like 2026-11-26"))?;
        Ok::<_, Error>(Some(moment))
    };
    let period = Period {
        from: day("from", from, false)?,
        to: day("to", to, true)?,
    };
    if let (Some(from), Some(to)) = (period.from, period.to)
        && from >= to
    {
        return Err(Error::field("from", "must not be after to"));
    }
    Ok(period)
}

/// A query string of those that are set.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        text.append_pair(name, value);
    }
    text.finish()
}

/// The links under a list.
pub(crate) fn pager(
    path: &str,
    filters: &[(&str, &str)],
    is_first: bool,
    next: Option<&str>,
    words: &Words,
) -> Markup {
    let link = |after: &str| {
        let all: Vec<(&str, &str)> = filters.iter().copied().chain([("after", after)]).collect();
        format!("{path}?{}", query(&all))
    };
    html! {
        @if !is_first || next.is_some() {
            nav.pager {
                @if !is_first { a.button href=(link("")) rel="first" { (words.first_page) } }
                @if let Some(next) = next { a.button href=(link(next)) rel="next" { (words.next_page) } }
            }
        }
    }
}

/// What a list found: its rows, and where the next page begins. Or what is wrong with what was asked for, which is told
/// beside the filters, so that they can be mended.
pub(crate) struct Found<T> {
    /// The rows of this page.
    pub(crate) rows: Vec<T>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
    wrong: Option<String>,
}

impl<T> Found<T> {
    /// Takes what a use case found; `place` is a row's place in the list.
    ///
    /// # Errors
    /// All but wrong filters.
    pub(crate) fn of(
        viewer: &Viewer,
        read: Result<Vec<T>, Error>,
        place: impl Fn(&T) -> Place,
    ) -> Result<Self, Fault> {
        match read {
            Ok(mut rows) => {
                let next = cut(&mut rows, place);
                Ok(Self {
                    rows,
                    next,
                    wrong: None,
                })
            }
            Err(error @ Error::Validation(_)) => Ok(Self {
                rows: Vec::new(),
                next: None,
                wrong: Some(viewer.told(&error)),
            }),
            Err(error) => Err(viewer.fault(error)),
        }
    }

    /// What is wrong with the filters.
    pub(crate) fn complaint(&self) -> Markup {
        html! {
            @if let Some(wrong) = &self.wrong { p.error role="alert" { (icon::alert()) (wrong) } }
        }
    }

    /// The rows as `show` writes them; none when there are none.
    pub(crate) fn shown(&self, show: impl FnOnce(&[T]) -> Markup) -> Option<Markup> {
        (!self.rows.is_empty()).then(|| show(&self.rows))
    }
}

/// A list as its URL asks for it.
pub(crate) struct Listing<'a> {
    /// Its path.
    pub(crate) path: &'a str,
    /// Its filters; an empty text is none.
    pub(crate) filters: &'a [(&'a str, &'a str)],
    /// Where this page begins; empty: at the newest row.
    pub(crate) after: &'a str,
    /// Who looks at it.
    pub(crate) viewer: &'a Viewer,
}

impl Listing<'_> {
    fn words(&self) -> &'static Words {
        self.viewer.words()
    }

    fn is_filtered(&self) -> bool {
        self.filters.iter().any(|(_, value)| !value.is_empty())
    }

    /// The title of its page, with the link to all of it as a file.
    pub(crate) fn head(&self, title: &str) -> Markup {
        html! {
            div.head { h1 { (title) } (self.file()) }
        }
    }

    /// The link to all rows, with these filters, as a file.
    pub(crate) fn file(&self) -> Markup {
        html! {
            a.button href={ (self.path) ".csv?" (query(self.filters)) } download { (icon::download()) (self.words().csv) }
        }
    }

    /// The form of the filters, with these controls.
    pub(crate) fn form(&self, controls: &Markup) -> Markup {
        html! {
            form.filters method="get" {
                (controls)
                button { (self.words().apply) }
                @if self.is_filtered() { a.clear href=(self.path) { (self.words().clear) } }
            }
        }
    }

    /// The whole page: title, filters, and what was found, as `show` writes it.
    pub(crate) fn page<T>(
        &self,
        title: &str,
        controls: &Markup,
        found: &Found<T>,
        none: &str,
        show: impl FnOnce(&[T]) -> Markup,
    ) -> layout::Page {
        let content = html! {
            (self.head(title))
            (self.form(controls))
            (found.complaint())
            (self.rows(found.shown(show).as_ref(), none, found.next.as_deref()))
        };
        layout::page(self.viewer, title, &content)
    }

    /// The rows, or that there are `none`, and the links to other pages.
    pub(crate) fn rows(&self, rows: Option<&Markup>, none: &str, next: Option<&str>) -> Markup {
        let none = if self.is_filtered() {
            self.words().nothing_found
        } else {
            none
        };
        html! {
            @match rows { Some(rows) => (rows), None => (empty(none)) }
            (pager(self.path, self.filters, self.after.is_empty(), next, self.words()))
        }
    }
}

/// A filter's text, without blanks around it; none when nothing is left.
pub(crate) fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A filter's word, number or id; none when nothing is left.
pub(crate) fn word<T>(field: &'static str, text: &str) -> Result<Option<T>, Error>
where
    T: FromStr<Err: Display>,
{
    service::word(field, given(text).as_deref())
}

/// A control for a text to look for.
pub(crate) fn search(name: &str, value: &str, label: &str) -> Markup {
    html! {
        label { (label) input type="search" name=(name) value=(value) maxlength="128"; }
    }
}

/// The merchant that a list is limited to, once it is.
pub(crate) fn merchant(id: &str, labels: &Filters) -> Markup {
    html! {
        @if !id.is_empty() { (search("merchant_id", id, labels.merchant_id)) }
    }
}

/// A file, or the error that came before it began.
pub(crate) fn csv(file: Result<CsvFile, ApiError>) -> Response {
    match file {
        Ok(file) => file.into_response(),
        Err(error) => error.into_response(),
    }
}

/// Filters that are seldom used; open when one of them is set.
pub(crate) fn more(label: &str, is_set: bool, controls: &Markup) -> Markup {
    html! {
        details.more open[is_set] { summary { (label) } div.filters { (controls) } }
    }
}

/// The controls of a period.
pub(crate) fn days(from: &str, to: &str, words: &Words) -> Markup {
    html! {
        label { (words.from_day) input type="date" name="from" value=(from); }
        label { (words.to_day) input type="date" name="to" value=(to); }
    }
}

/// A choice of a filter.
pub(crate) fn choice(
    name: &str,
    chosen: &str,
    label: &str,
    any: &str,
    all: &[(&str, &str)],
) -> Markup {
    html! {
        label { (label)
            select name=(name) {
                option value="" { (any) }
                @for (value, text) in all {
                    option value=(value) selected[*value == chosen] { (text) }
                }
            }
        }
    }
}

/// Filters that a form keeps and does not show.
pub(crate) fn hidden(fields: &[(&str, &str)]) -> Markup {
    html! {
        @for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            input type="hidden" name=(name) value=(value);
        }
    }
}

/// Rows that need more than a line each.
pub(crate) fn cards<T>(rows: &[T], card: impl Fn(&T) -> Markup) -> Markup {
    html! { ul.cards { @for row in rows { (card(row)) } } }
}

/// A list without rows: what to do.
pub(crate) fn empty(text: &str) -> Markup {
    html! { p.empty { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_list_reads_back() {
        let time = DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap();
        let mut rows: Vec<u128> = (0..=50).collect();
        let next = cut(&mut rows, |row| (time, Uuid::from_u128(*row))).unwrap();
        assert_eq!(rows.len(), 50);
        assert_eq!(
            page(Some(&next)).unwrap().after,
            Some((time, Uuid::from_u128(49)))
        );
        assert_eq!(cut(&mut rows, |_| (time, Uuid::nil())), None);
        for wrong in ["x", "1", "1.2", "9223372036854775807.0"] {
            assert!(page(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(page(Some("")).unwrap().after, None);
    }

    #[test]
    fn a_short_id_has_the_end_that_tells_it_from_others() {
        let id = "m_0190f3a1c0de7abc8def0123456789ab";
        assert_eq!(short(id), "m_…456789ab");
        for other in ["system", "fee_basic", "m_1"] {
            assert_eq!(short(other), other);
        }
    }

    #[test]
    fn a_period_is_whole_days_of_jakarta() {
        let day = period("2026-11-26", "2026-11-26").unwrap();
        assert_eq!(day.from.unwrap().to_rfc3339(), "2026-11-25T17:00:00+00:00");
        assert_eq!(day.to.unwrap().to_rfc3339(), "2026-11-26T17:00:00+00:00");
        assert!(period("", "").unwrap().from.is_none());
        assert!(period("2026-11-27", "2026-11-26").is_err());
        assert!(period("26-11-2026", "").is_err());
    }
}
