output "security_group_id" {
  description = "The worker's security group."
  value       = aws_security_group.worker.id
}

output "task_role_arn" {
  description = "The worker's role. Attach further policies here (Redshift, SNS, EventBridge, hooks)."
  value       = aws_iam_role.task.arn
}

output "log_group_name" {
  description = "The log group of the worker."
  value       = aws_cloudwatch_log_group.worker.name
}
