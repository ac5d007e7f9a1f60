# Inbound: clients of the admin endpoint only. Outbound: AWS and the databases.
resource "aws_security_group" "worker" {
  name_prefix = "${var.name}-"
  description = "The worker of twinkey"
  vpc_id      = var.vpc_id
  tags        = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.worker.id
  description       = "AWS endpoints, webhooks"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "database" {
  for_each = var.databases

  security_group_id            = aws_security_group.worker.id
  description                  = "Database ${each.key}"
  referenced_security_group_id = each.value.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each = var.databases

  security_group_id            = each.value.security_group_id
  description                  = "The worker of twinkey"
  referenced_security_group_id = aws_security_group.worker.id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each = var.admin_security_group_ids

  security_group_id            = aws_security_group.worker.id
  description                  = "The admin endpoint, for ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 8321
  to_port                      = 8321
}
