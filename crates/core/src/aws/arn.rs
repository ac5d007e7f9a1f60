//! Amazon resource names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` ("Amazon Resource Names
//! (ARNs)" in the AWS General Reference). Pure.

/// The region of an ARN; `None` for another text.
#[must_use]
pub fn region(text: &str) -> Option<&str> {
    part(text, 3)
}

/// The account of an ARN; `None` for another text.
#[must_use]
pub fn account(text: &str) -> Option<&str> {
    part(text, 4)
}

fn part(text: &str, n: usize) -> Option<&str> {
    let mut parts = text.splitn(6, ':');
    let is_arn = parts.next() == Some("arn") && text.splitn(6, ':').count() == 6;
    let part = parts.nth(n - 1)?;
    (is_arn && !part.is_empty()).then_some(part)
}

/// The partition of a region ("Partitions" in the IAM user guide).
#[must_use]
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The DNS suffix of a region's endpoints.
#[must_use]
pub fn dns_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_arn_has_a_region_and_an_account() {
        let topic = "arn:aws:sns:eu-west-1:123456789012:alerts";
        assert_eq!(region(topic), Some("eu-west-1"));
        assert_eq!(account(topic), Some("123456789012"));
        for text in [
            "prod/orders",
            "arn:aws",
            "arn:aws:s3:::bucket",
            "",
            "a:b:c:d:e:f",
        ] {
            assert_eq!((region(text), account(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn a_region_determines_its_partition() {
        assert_eq!(partition("eu-west-1"), "aws");
        assert_eq!(partition("cn-north-1"), "aws-cn");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert_eq!(dns_suffix("cn-north-1"), "amazonaws.com.cn");
    }
}
