//! Addresses of this endpoint, for links.

/// A path with a query of the parameters that have a value.
pub fn with_query<'a>(
    path: &str,
    query: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> String {
    let query = query.into_iter();
    let query = query.filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)));
    // The query of any address has one form.
    let base = reqwest::Url::parse_with_params("http://x/", query);
    match base.ok().as_ref().and_then(|url| url.query()) {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_without_a_value_are_left_out_and_values_are_escaped() {
        let query = [("q", Some("a b&c")), ("state", None), ("code", Some(""))];
        assert_eq!(with_query("/", query), "/?q=a+b%26c");
        assert_eq!(with_query("/events", []), "/events");
    }
}
