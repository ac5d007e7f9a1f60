variable "name" {
  description = "The name of the role."
  type        = string
  default     = "twinkey"
}

variable "worker_role_arn" {
  description = "The worker's own role: the output task_role_arn of the module in the worker's account."
  type        = string
}

variable "external_id" {
  description = "assume_role.external_id of the [[store]]. It is not a secret. Use a different one for each worker."
  type        = string
}

variable "policy_json" {
  description = "The policy of the role, as `twinkey iam-policy --store NAME` prints it."
  type        = string
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}
