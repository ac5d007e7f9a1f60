# A member account: the role that the worker assumes for a [[store]]. Apply it with the credentials of that
# account. `twinkey iam-policy --store NAME` prints the policy, and with `--trust` a trust policy like this.
terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "Worker"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.worker_role_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

resource "aws_iam_role" "worker" {
  name               = var.name
  description        = "Assumed by twinkey, which rotates secrets of this account."
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "worker" {
  name   = "rotate"
  role   = aws_iam_role.worker.id
  policy = var.policy_json
}
