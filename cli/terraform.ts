import type { Layout } from '../lib/item.js'
import { statementOf } from './policy.js'
import { AIM, type TableWish } from './stack.js'

/** A text of Terraform's language, in which `${` and `%{` begin an expression. */
function text (value: string): string {
  // By a function: in a text that replaces another, two dollars are one.
  return JSON.stringify(value).replace(/[$%](?=\{)/g, sign => sign + sign)
}

/** What another resource knows, in the middle of a text. */
function reference (path: string): string {
  return `\${${path}}`
}

/** Terraform's language for the same as the stack. */
export function terraformOf (wish: TableWish): string {
  const { layout, provisioned } = wish
  return [tableOf(wish), policy(layout), ...provisioned === undefined ? [] : [scaling('read', provisioned), scaling('write', provisioned)]].join('\n\n')
}

function tableOf ({ layout, provisioned, deletionProtection, recovery }: TableWish): string {
  const { name, type } = layout.partitionKey
  // Terraform would otherwise put the capacity back to what it was, whenever it has scaled.
  const capacity = provisioned === undefined
    ? ['  billing_mode                = "PAY_PER_REQUEST"']
    : ['  billing_mode                = "PROVISIONED"', `  read_capacity               = ${provisioned.least}`, `  write_capacity              = ${provisioned.least}`]
  const kept = provisioned === undefined ? ['    prevent_destroy = true'] : ['    prevent_destroy = true', '    ignore_changes  = [read_capacity, write_capacity]']
  return [
    'resource "aws_dynamodb_table" "sessions" {',
    `  name                        = ${text(layout.table)}`,
    ...capacity,
    `  hash_key                    = ${text(name)}`,
    `  deletion_protection_enabled = ${deletionProtection}`,
    '',
    ...block('attribute', [`    name = ${text(name)}`, `    type = "${type}"`]),
    '',
    ...block('ttl', [`    attribute_name = ${text(layout.ttlAttribute)}`, '    enabled        = true']),
    '',
    ...block('point_in_time_recovery', [`    enabled = ${recovery}`]),
    '',
    ...block('lifecycle', kept),
    '}'
  ].join('\n')
}

function block (name: string, lines: readonly string[]): string[] {
  return [`  ${name} {`, ...lines, '  }']
}

/** For `aws_iam_role_policy_attachment` of the web servers' role. */
function policy ({ keyPrefix }: Layout): string {
  const { Action, Condition = {} } = statementOf('', 'web', keyPrefix)
  const condition = Object.entries(Condition).flatMap(([test, keys]) => Object.entries(keys as object).map(([variable, values]) => [
    '', '    condition {', `      test     = ${text(test)}`, `      variable = ${text(variable)}`, `      values   = [${(values as string[]).map(text).join(', ')}]`, '    }'
  ])).flat()
  return [
    'data "aws_iam_policy_document" "sessions" {',
    '  statement {',
    '    actions = [',
    ...Action.map(action => `      ${text(action)},`),
    '    ]',
    '    resources = [aws_dynamodb_table.sessions.arn]',
    ...condition,
    '  }',
    '}',
    '',
    'resource "aws_iam_policy" "sessions" {',
    '  description = "Sessions of the web servers"',
    '  policy      = data.aws_iam_policy_document.sessions.json',
    '}'
  ].join('\n')
}

function scaling (kind: 'read' | 'write', { least, most }: { readonly least: number, readonly most: number }): string {
  const name = `sessions_${kind}`
  const capital = kind === 'read' ? 'Read' : 'Write'
  return [
    `resource "aws_appautoscaling_target" "${name}" {`,
    '  service_namespace  = "dynamodb"',
    `  scalable_dimension = "dynamodb:table:${capital}CapacityUnits"`,
    `  resource_id        = "table/${reference('aws_dynamodb_table.sessions.name')}"`,
    `  min_capacity       = ${least}`,
    `  max_capacity       = ${most}`,
    '}',
    '',
    `resource "aws_appautoscaling_policy" "${name}" {`,
    `  name               = "sessions-${kind}"`,
    '  policy_type        = "TargetTrackingScaling"',
    `  service_namespace  = aws_appautoscaling_target.${name}.service_namespace`,
    `  scalable_dimension = aws_appautoscaling_target.${name}.scalable_dimension`,
    `  resource_id        = aws_appautoscaling_target.${name}.resource_id`,
    '',
    '  target_tracking_scaling_policy_configuration {',
    `    target_value = ${AIM}`,
    '    predefined_metric_specification {',
    `      predefined_metric_type = "DynamoDB${capital}CapacityUtilization"`,
    '    }',
    '  }',
    '}'
  ].join('\n')
}
