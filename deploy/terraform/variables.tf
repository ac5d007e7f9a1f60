variable "name" {
  description = "What everything here is called."
  type        = string
  default     = "twinkey"
}

variable "image" {
  description = "The image, with its tag: that of the Dockerfile, pushed to a registry of yours."
  type        = string
}

variable "config" {
  description = "The config (TOML), as text: file(\"twinkey.toml\"). Up to 8 KB, which is what SSM keeps."
  type        = string
}

variable "cluster_name" {
  description = "The ECS cluster."
  type        = string
}

variable "vpc_id" {
  description = "The VPC of the databases."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to AWS's endpoints (NAT, or VPC endpoints) and to the databases."
  type        = list(string)
}

variable "databases" {
  description = "Each database's security group and port: the worker is let in there."
  type = map(object({
    security_group_id = string
    port              = number
  }))
}

variable "admin_security_group_ids" {
  description = "Who may reach the admin endpoint (port 8321): Prometheus, for example."
  type        = map(string)
  default     = {}
}

variable "admin_token_secret_arn" {
  description = "The secret with the admin token: plain text, 16 characters or more."
  type        = string
}

variable "rotated_secret_arns" {
  description = "The secrets that are rotated."
  type        = list(string)
}

variable "master_secret_arns" {
  description = "The secrets of the users that may create and alter users."
  type        = list(string)
  default     = []
}

variable "kms_key_arns" {
  description = "The keys of these secrets, where they are your own."
  type        = list(string)
  default     = []
}

variable "policy_json" {
  description = "The worker's policy, as text, instead of the one that is made of the ARNs above: for Redshift, SNS and EventBridge, which take more."
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "SNS topics that are told of alarms."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long the log is kept, in days."
  type        = number
  default     = 90
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64: what the image was built for."
  type        = string
  default     = "X86_64"
}

variable "tags" {
  description = "Tags of everything here."
  type        = map(string)
  default     = {}
}
