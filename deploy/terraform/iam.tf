# The worker's own role (task) and the role with which ECS starts it (execution). A test compares the
# policies with ../ecs/*.json.
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "task" {
  statement {
    sid = "RotatedSecrets"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:ListSecretVersionIds",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = var.rotated_secret_arns
  }

  dynamic "statement" {
    for_each = length(var.master_secret_arns) > 0 ? [var.master_secret_arns] : []

    content {
      sid       = "MasterSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }

  # These calls take no resources. A denial would change nothing, and would appear in CloudTrail.
  statement {
    sid       = "Readiness"
    actions   = ["secretsmanager:ListSecrets"]
    resources = ["*"]
  }

  statement {
    sid       = "Heartbeats"
    actions   = ["secretsmanager:BatchGetSecretValue"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = length(var.kms_key_arns) > 0 ? [var.kms_key_arns] : []

    content {
      sid       = "KeysOfTheSecrets"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${data.aws_region.current.id}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "WhatEcsHandsToTheTask"
    actions   = ["ssm:GetParameters"]
    resources = [aws_ssm_parameter.config.arn]
  }

  statement {
    sid       = "TheAdminToken"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.admin_token_secret_arn]
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "task" {
  name   = "rotate"
  role   = aws_iam_role.task.id
  policy = coalesce(var.policy_json, data.aws_iam_policy_document.task.json)
}

# The roles of other accounts, one for each [[store]] with assume_role.
data "aws_iam_policy_document" "accounts" {
  statement {
    sid       = "Accounts"
    actions   = ["sts:AssumeRole"]
    resources = var.member_role_arns
  }
}

resource "aws_iam_role_policy" "accounts" {
  count = length(var.member_role_arns) > 0 ? 1 : 0

  name   = "accounts"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.accounts.json
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-execution-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

# To pull the image and write the log.
resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}
