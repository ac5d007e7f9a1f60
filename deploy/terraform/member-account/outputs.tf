output "role_arn" {
  description = "For assume_role.arn of the [[store]], and for member_role_arns of the worker's module."
  value       = aws_iam_role.worker.arn
}
