variable "name" {
  description = "The name of all resources."
  type        = string
  default     = "twinkey"
}

variable "image" {
  description = "The image with its tag, built from the Dockerfile and pushed to your registry."
  type        = string
}

variable "config" {
  description = "The config (TOML) as text: file(\"twinkey.toml\"). At most 8 KB, the limit of SSM."
  type        = string
}

variable "member_role_arns" {
  description = "The roles of other accounts that the worker assumes: the outputs role_arn of member-account."
  type        = list(string)
  default     = []
}

variable "cluster_name" {
  description = "The name of the ECS cluster."
  type        = string
}

variable "vpc_id" {
  description = "The ID of the VPC of the databases."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with routes to AWS's endpoints (NAT, or VPC endpoints) and to the databases."
  type        = list(string)
}

variable "databases" {
  description = "The security group and port of each database. The module adds an inbound rule for the worker."
  type = map(object({
    security_group_id = string
    port              = number
  }))
}

variable "admin_security_group_ids" {
  description = "Security groups of clients of the admin endpoint (port 8321), for example Prometheus."
  type        = map(string)
  default     = {}
}

variable "admin_token_secret_arn" {
  description = "The ARN of the secret with the admin token: plain text, at least 16 characters."
  type        = string
}

variable "rotated_secret_arns" {
  description = "The ARNs of the rotated secrets."
  type        = list(string)
}

variable "master_secret_arns" {
  description = "The ARNs of the master secrets."
  type        = list(string)
  default     = []
}

variable "kms_key_arns" {
  description = "The ARNs of customer managed KMS keys of these secrets."
  type        = list(string)
  default     = []
}

variable "policy_json" {
  description = "The worker's policy as text. It replaces the policy from the ARNs above. Redshift, SNS and EventBridge need it."
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "The ARNs of SNS topics for alarms."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "The retention of the log, in days."
  type        = number
  default     = 90
}

variable "cpu_architecture" {
  description = "The architecture of the image: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
