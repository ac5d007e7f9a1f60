use super::Schedule;

#[test]
fn every_mistake_is_marked() {
    for (text, part, message) in [
        ("", "", "the schedule is empty"),
        (
            "0 7 * * *",
            "0 7 * * *",
            "a schedule is cron(…) or rate(…), in lower case",
        ),
        (
            "@daily",
            "@daily",
            "a schedule is cron(…) or rate(…), in lower case",
        ),
        (
            "CRON(0 7 * * ? *)",
            "CRON(0 7 * * ? *)",
            "a schedule is cron(…) or rate(…), in lower case",
        ),
        (
            "cron(0 7 * * ? *",
            "cron(0 7 * * ? *",
            "the closing parenthesis is missing",
        ),
        (
            "cron(0 7 * * ? *) x",
            " x",
            "text follows the closing parenthesis",
        ),
        (
            "cron(0 10 * 2,5 2)",
            "0 10 * 2,5 2",
            "cron has 5 fields here, and requires 6",
        ),
        (
            "cron(0 0 7 * * ? *)",
            "0 0 7 * * ? *",
            "cron has 7 fields here, and requires 6",
        ),
        (" cron(60 7 * * ? *)", "60", "minutes: 60 is not in 0-59"),
        ("cron(0 24 * * ? *)", "24", "hours: 24 is not in 0-23"),
        ("cron(0 7,x * * ? *)", "x", "hours: \"x\" is not valid"),
        ("cron(0 7, * * ? *)", "", "hours: a value is missing"),
        (
            "cron(0 7-8-9 * * ? *)",
            "7-8-9",
            "hours: \"7-8-9\" is not a range",
        ),
        (
            "cron(0 1/2/3 * * ? *)",
            "1/2/3",
            "hours: \"1/2/3\" has more than one step",
        ),
        (
            "cron(0 /48 * * ? *)",
            "48",
            "hours: the step \"48\" is not in 1-24",
        ),
        (
            "cron(0 0/0 * * ? *)",
            "0",
            "hours: the step \"0\" is not in 1-24",
        ),
        ("cron(0 +7 * * ? *)", "+7", "hours: \"+7\" is not valid"),
        (
            "cron(0 ? * * ? *)",
            "?",
            "hours: ? is only for the whole day-of-month or day-of-week",
        ),
        (
            "cron(0 7 32 * ? *)",
            "32",
            "day-of-month: 32 is not in 1-31",
        ),
        ("cron(0 7 0W * ? *)", "0", "day-of-month: 0 is not in 1-31"),
        (
            "cron(0 7 1L * ? *)",
            "1L",
            "day-of-month: \"1L\" is not valid",
        ),
        ("cron(0 7 * 13 ? *)", "13", "month: 13 is not in 1-12"),
        (
            "cron(0 7 * JULY ? *)",
            "JULY",
            "month: \"JULY\" is not valid",
        ),
        ("cron(0 7 ? * 0 *)", "0", "day-of-week: 0 is not in 1-7"),
        (
            "cron(0 7 ? * SUN#6 *)",
            "6",
            "day-of-week: #6 is not #1 to #5",
        ),
        (
            "cron(0 7 ? * MON,ÄL *)",
            "Ä",
            "day-of-week: \"Ä\" is not valid",
        ),
        (
            "cron(0 7 * * ? 1969)",
            "1969",
            "year: 1969 is not in 1970-2199",
        ),
        (
            "cron(0 7 * * ? 2030-2026)",
            "2030-2026",
            "year: \"2030-2026\" runs backwards",
        ),
        (
            "cron(0 7 * * * *)",
            "*",
            "day-of-month and day-of-week are both given: one of them must be ?",
        ),
        (
            "cron(0 7 1 * MON *)",
            "1",
            "day-of-month and day-of-week are both given: one of them must be ?",
        ),
        (
            "cron(0 7 ? * ? *)",
            "?",
            "day-of-month and day-of-week are both ?",
        ),
        (
            "cron(0 0 30 2 ? *)",
            "0 0 30 2 ? *",
            "this schedule never fires: no day from 1970 to 2199 matches",
        ),
        (
            "cron(0 0 29 2 ? 2027)",
            "0 0 29 2 ? 2027",
            "this schedule never fires: no day from 1970 to 2199 matches",
        ),
        ("rate()", "", "rate requires a number and a unit, not \"\""),
        (
            "rate(30days)",
            "30days",
            "rate requires a number and a unit, not \"30days\"",
        ),
        (
            "rate(0 days)",
            "0",
            "the rate \"0\" is not a whole number from 1",
        ),
        (
            "rate(1.5 hours)",
            "1.5",
            "the rate \"1.5\" is not a whole number from 1",
        ),
        ("rate(2 weeks)", "weeks", "rate does not support weeks"),
        (
            "rate(2 fortnights)",
            "fortnights",
            "the unit \"fortnights\" is not minutes, hours or days",
        ),
        (
            "rate(1001 days)",
            "1001",
            "the rate is longer than 1000 days",
        ),
        (
            "rate(99999999999999999 days)",
            "99999999999999999",
            "the rate is longer than 1000 days",
        ),
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error.message, message, "{text}");
        assert_eq!(&text[error.span.0..error.span.1], part, "{text}");
        assert!(!error.hint.is_empty());
    }
    let error = Schedule::parse("cron(0 7 * * * *)").unwrap_err();
    assert_eq!(error.span, (13, 14), "the second star is the one to change");
    let error = Schedule::parse("rate(11 1)").unwrap_err();
    assert_eq!(error.span, (8, 9), "the unit, not a part of the number");
}
