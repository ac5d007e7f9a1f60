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

/// The account of the ARN of a role, which has no region; `None` for another text.
#[must_use]
pub fn account_of_role(text: &str) -> Option<&str> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let (start, _partition, service) = (next()?, next()?, next()?);
    let (region, account, resource) = (next()?, next()?, next()?);
    let is_role = start == "arn"
        && service == "iam"
        && region.is_empty()
        && resource
            .strip_prefix("role/")
            .is_some_and(|name| !name.is_empty())
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit());
    is_role.then_some(account)
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
    fn the_arn_of_a_role_has_an_account() {
        let account = account_of_role;
        assert_eq!(
            account("arn:aws:iam::111122223333:role/twinkey"),
            Some("111122223333")
        );
        assert_eq!(
            account("arn:aws-cn:iam::111122223333:role/a/b"),
            Some("111122223333")
        );
        for text in [
            "arn:aws:iam::111122223333:user/twinkey",
            "arn:aws:iam::1111:role/twinkey",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:sts::111122223333:assumed-role/twinkey/session",
            "twinkey",
            "",
        ] {
            assert_eq!(account(text), None, "{text}");
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
