output "security_group_id" {
  description = "The worker's security group."
  value       = aws_security_group.worker.id
}

output "task_role_arn" {
  description = "The worker's role: what else it needs (Redshift, SNS, EventBridge, hooks) is attached here."
  value       = aws_iam_role.task.arn
}

output "log_group_name" {
  description = "Where the worker's log is."
  value       = aws_cloudwatch_log_group.worker.name
}
