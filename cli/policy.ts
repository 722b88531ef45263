import { misuse } from './fault.js'

/** What web servers do: five actions, which always name a key. */
export const ACTIONS = ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'] as const

/** What is asked and changed of the table itself by "create-table" and the option `createTable`. */
const DEPLOY_ACTIONS = [
  'dynamodb:CreateTable', 'dynamodb:DescribeTable', 'dynamodb:DescribeTimeToLive', 'dynamodb:UpdateTimeToLive', 'dynamodb:UpdateContinuousBackups'
]

/** What "doctor", "show", "revoke" and "purge" need. */
const OPERATOR_ACTIONS = [
  'dynamodb:DescribeTable', 'dynamodb:DescribeTimeToLive', 'dynamodb:DescribeContinuousBackups', 'dynamodb:Scan', ...ACTIONS
]

export type Role = 'web' | 'deploy' | 'operator'

export interface Statement {
  readonly Effect: 'Allow'
  readonly Action: readonly string[]
  readonly Resource: unknown
  readonly Condition?: object
}

export interface Policy {
  readonly Version: '2012-10-17'
  readonly Statement: readonly Statement[]
}

/** Least privilege for one role on one table. A prefix holds web servers to their own records. */
export function policyOf (resource: unknown, role: Role = 'web', prefix = ''): Policy {
  return { Version: '2012-10-17', Statement: [statementOf(resource, role, prefix)] }
}

export function statementOf (resource: unknown, role: Role, prefix: string): Statement {
  return { Effect: 'Allow', Action: actionsOf(role), Resource: resource, ...role === 'web' && prefix !== '' && { Condition: conditionOf(prefix) } }
}

function actionsOf (role: Role): readonly string[] {
  if (role === 'web') return ACTIONS
  return role === 'deploy' ? DEPLOY_ACTIONS : OPERATOR_ACTIONS
}

/** The condition also holds where a request names no key, so it goes with actions that always do. */
function conditionOf (prefix: string): object {
  // In such a condition they stand for other texts, and the policy would permit more than it says.
  if (/[*?]|[$&]\{/.test(prefix)) throw misuse('Option "--prefix" holds "*", "?", "${" or, for Terraform, "&{", which have a meaning of their own in a policy: choose another prefix.')
  return { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [`${prefix}*`] } }
}

/** Whether a prefix may be the beginning of another one: `shop*` takes in `shopping#`. */
export function isOpenPrefix (prefix: string): boolean {
  return /[\p{L}\p{N}]$/u.test(prefix)
}

/** The ARN of a table. China and the government of the United States have partitions of their own. */
export function tableArn (region: string, account: string, table: string): string {
  return `arn:${partitionOf(region)}:dynamodb:${region}:${account}:table/${table}`
}

function partitionOf (region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn'
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws'
}
