import type { Layout } from '../lib/item.js'
import { policyOf } from './policy.js'

/** What a table is to be, beside its layout. */
export interface TableWish {
  readonly layout: Layout
  /** Undefined: on demand. */
  readonly provisioned: { readonly least: number, readonly most: number } | undefined
  readonly deletionProtection: boolean
  readonly recovery: boolean
}

/** Per cent of its capacity that a table aims to use, as AWS proposes: the rest is for what comes before it has grown. */
export const AIM = 70

const DIMENSIONS = [['Read', 'ReadCapacityUnits'], ['Write', 'WriteCapacityUnits']] as const

/** A CloudFormation template, or one of SAM, which takes the same resources beside its own. */
export function stackOf (wish: TableWish, isSam: boolean): object {
  return {
    AWSTemplateFormatVersion: '2010-09-09',
    ...isSam && { Transform: 'AWS::Serverless-2016-10-31' },
    Description: 'The table of fastify-dynamodb-session, and what its web servers may do with it',
    Resources: { Sessions: tableOf(wish), SessionsPolicy: managedPolicy(wish.layout), ...wish.provisioned !== undefined && scaling(wish.provisioned) },
    Outputs: {
      SessionsTable: { Description: 'The option "table"', Value: { Ref: 'Sessions' } },
      SessionsPolicy: { Description: isSam ? 'For Policies of each AWS::Serverless::Function' : 'For ManagedPolicyArns of the role of the web servers', Value: { Ref: 'SessionsPolicy' } }
    }
  }
}

function tableOf ({ layout, provisioned, deletionProtection, recovery }: TableWish): object {
  const { name: AttributeName, type: AttributeType } = layout.partitionKey
  return {
    Type: 'AWS::DynamoDB::Table',
    // Whoever deletes the stack, or renames what makes it a new table, does not mean the sessions.
    DeletionPolicy: 'Retain',
    UpdateReplacePolicy: 'Retain',
    Properties: {
      TableName: layout.table,
      ...provisioned === undefined
        ? { BillingMode: 'PAY_PER_REQUEST' }
        : { BillingMode: 'PROVISIONED', ProvisionedThroughput: { ReadCapacityUnits: provisioned.least, WriteCapacityUnits: provisioned.least } },
      AttributeDefinitions: [{ AttributeName, AttributeType }],
      KeySchema: [{ AttributeName, KeyType: 'HASH' }],
      TimeToLiveSpecification: { AttributeName: layout.ttlAttribute, Enabled: true },
      DeletionProtectionEnabled: deletionProtection,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: recovery }
    }
  }
}

function managedPolicy ({ keyPrefix }: Layout): object {
  return {
    Type: 'AWS::IAM::ManagedPolicy',
    Properties: { Description: 'Sessions of the web servers', PolicyDocument: policyOf({ 'Fn::GetAtt': ['Sessions', 'Arn'] }, 'web', keyPrefix) }
  }
}

function scaling ({ least, most }: { readonly least: number, readonly most: number }): Record<string, object> {
  return Object.fromEntries(DIMENSIONS.flatMap(([kind, dimension]) => [
    [`Sessions${kind}Target`, {
      Type: 'AWS::ApplicationAutoScaling::ScalableTarget',
      Properties: {
        ServiceNamespace: 'dynamodb', ScalableDimension: `dynamodb:table:${dimension}`, ResourceId: { 'Fn::Join': ['/', ['table', { Ref: 'Sessions' }]] }, MinCapacity: least, MaxCapacity: most
      }
    }],
    [`Sessions${kind}Scaling`, {
      Type: 'AWS::ApplicationAutoScaling::ScalingPolicy',
      Properties: {
        PolicyName: `sessions-${kind.toLowerCase()}`,
        PolicyType: 'TargetTrackingScaling',
        ScalingTargetId: { Ref: `Sessions${kind}Target` },
        TargetTrackingScalingPolicyConfiguration: { TargetValue: AIM, PredefinedMetricSpecification: { PredefinedMetricType: `DynamoDB${kind}CapacityUtilization` } }
      }
    }]
  ]))
}
