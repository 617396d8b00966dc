//! NumPy's slice syntax as text.

use super::{Selection, Term};
use crate::error::{Error, Result};

pub(super) fn selection(text: &str) -> Result<Selection> {
    let text = text.trim();
    let text = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .filter(|_| is_one_bracket(text))
        .filter(|inner| inner.contains([':', '[', '.']))
        .unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Selection::all());
    }
    let mut parts = split(text)?;
    if parts.len() > 1 && parts.last().is_some_and(|last| last.trim().is_empty()) {
        parts.pop();
    }
    let terms = parts
        .into_iter()
        .map(|part| term(part).map_err(|error| error.with("selection", text)))
        .collect::<Result<_>>()?;
    Ok(Selection::Orthogonal(terms))
}

/// Whether the text's first bracket closes at its very end.
fn is_one_bracket(text: &str) -> bool {
    let mut depth = 0_u32;
    for (position, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return position + 1 == text.len();
        }
    }
    false
}

/// The terms of `text`: what stands between the commas outside brackets.
fn split(text: &str) -> Result<Vec<&str>> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, false);
    for (position, character) in text.char_indices() {
        match character {
            '[' if !open => open = true,
            ']' if open => open = false,
            '[' | ']' => {
                return Err(
                    Error::invalid_argument("brackets do not match").with("selection", text)
                );
            }
            ',' if !open => {
                parts.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    if open {
        return Err(Error::invalid_argument("brackets do not match").with("selection", text));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn term(text: &str) -> Result<Term> {
    let text = text.trim();
    if text == "..." {
        return Ok(Term::Ellipsis);
    }
    if let Some(list) = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        return list_of(list);
    }
    let bounds: Vec<&str> = text.split(':').map(str::trim).collect();
    match bounds[..] {
        [index] => integer(index).map(Term::Index),
        [start, stop] => slice(start, stop, ""),
        [start, stop, step] => slice(start, stop, step),
        _ => Err(Error::invalid_argument(format!("`{text}` has more than two colons"))),
    }
}

fn list_of(text: &str) -> Result<Term> {
    if text.trim().is_empty() {
        return Ok(Term::List(Vec::new()));
    }
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    if items.iter().all(|item| matches!(*item, "True" | "False" | "true" | "false")) {
        return Ok(Term::Mask(
            items.iter().map(|item| item.eq_ignore_ascii_case("true")).collect(),
        ));
    }
    items.into_iter().map(integer).collect::<Result<_>>().map(Term::List)
}

fn slice(start: &str, stop: &str, step: &str) -> Result<Term> {
    let bound = |text: &str| if text.is_empty() { Ok(None) } else { integer(text).map(Some) };
    Ok(Term::Slice { start: bound(start)?, stop: bound(stop)?, step: bound(step)? })
}

fn integer(text: &str) -> Result<i64> {
    text.replace('_', "").parse().map_err(|_| {
        Error::invalid_argument(format!(
            "`{text}` is no integer; a term is an index, `start:stop:step`, `...` or `[list]`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<Term> {
        match Selection::parse(text).unwrap() {
            Selection::Orthogonal(terms) => terms,
            other => panic!("{other:?}"),
        }
    }

    fn range(start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> Term {
        Term::Slice { start, stop, step }
    }

    #[test]
    fn reads_what_numpy_reads() {
        assert_eq!(
            terms("3:31:2, 5:"),
            [range(Some(3), Some(31), Some(2)), range(Some(5), None, None)]
        );
        assert_eq!(
            terms("-1, ..., ::-2"),
            [Term::Index(-1), Term::Ellipsis, range(None, None, Some(-2))]
        );
        assert_eq!(terms("[0, 4,2], :"), [Term::List(vec![0, 4, 2]), Term::ALL]);
        assert_eq!(terms("[True, False]"), [Term::Mask(vec![true, false])]);
        assert_eq!(terms("[1:2, 3]"), [range(Some(1), Some(2), None), Term::Index(3)]);
        assert_eq!(terms("7,"), [Term::Index(7)]);
        assert_eq!(terms("  "), [Term::Ellipsis]);
    }

    #[test]
    fn refuses_what_it_does_not_read() {
        for text in ["a", "1:2:3:4", "1,,2", "[1", "1]", "1.5", "[1, x]", ":a"] {
            let error = Selection::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::InvalidArgument, "{text}");
            assert!(error.context("selection").is_some(), "{text}");
        }
    }
}
