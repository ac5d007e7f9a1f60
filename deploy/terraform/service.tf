resource "aws_ssm_parameter" "config" {
  name        = "/${var.name}/config"
  description = "The config of twinkey, without secrets."
  type        = "String"
  tier        = "Intelligent-Tiering"
  value       = var.config
  tags        = var.tags
}

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

locals {
  log = {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = aws_cloudwatch_log_group.worker.name
      "awslogs-region"        = data.aws_region.current.id
      "awslogs-stream-prefix" = var.name
    }
  }

  # Settings of both containers: the image's user, and no writable path except the volume.
  container = {
    image                  = var.image
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "state", containerPath = "/var/lib/twinkey" }]
    logConfiguration       = local.log
  }
}

# A test compares this task with ../ecs/task-definition.json.
resource "aws_ecs_task_definition" "worker" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  tags                     = var.tags

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  volume {
    name = "state"
  }

  container_definitions = jsonencode([
    merge(local.container, {
      name       = "config"
      essential  = false
      entryPoint = ["/bin/sh", "-c"]
      command    = ["printenv TWINKEY_TOML > /var/lib/twinkey/twinkey.toml"]
      secrets    = [{ name = "TWINKEY_TOML", valueFrom = aws_ssm_parameter.config.arn }]
      # A changed config creates a new task.
      dockerLabels = { "twinkey.config" = sha256(var.config) }
    }),
    merge(local.container, {
      name         = "twinkey"
      essential    = true
      dependsOn    = [{ containerName = "config", condition = "SUCCESS" }]
      command      = ["--log-format", "json", "serve"]
      stopTimeout  = 60
      portMappings = [{ name = "admin", containerPort = 8321, protocol = "tcp" }]
      environment = [
        { name = "TWINKEY__SERVER__LISTEN", value = "0.0.0.0:8321" },
        { name = "TWINKEY__SERVER__ADMIN_TOKEN", value = "env:TWINKEY_ADMIN_TOKEN" },
      ]
      secrets = [{ name = "TWINKEY_ADMIN_TOKEN", valueFrom = var.admin_token_secret_arn }]
      healthCheck = {
        command     = ["CMD", "/usr/local/bin/twinkey", "healthz"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 15
      }
    }),
  ])
}

# One worker. The old one stops before the new one starts; two at once would be harmless.
resource "aws_ecs_service" "worker" {
  name                               = var.name
  cluster                            = var.cluster_name
  task_definition                    = aws_ecs_task_definition.worker.arn
  desired_count                      = 1
  launch_type                        = "FARGATE"
  platform_version                   = "1.4.0"
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  propagate_tags                     = "SERVICE"
  tags                               = var.tags

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.worker.id]
    assign_public_ip = false
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}
