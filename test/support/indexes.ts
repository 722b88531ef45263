// Secondary indexes on session keys, as an application makes and asks them.
import { QueryCommand, type CreateTableCommandInput, type DynamoDBClient, type QueryCommandInput } from '@aws-sdk/client-dynamodb'

/** What a table with such an index is created with. */
export function indexOn (name: string, type: 'S' | 'N' | 'B' = 'S', sortKey?: string): Partial<CreateTableCommandInput> {
  const sort = sortKey === undefined ? [] : [sortKey]
  return {
    AttributeDefinitions: [
      { AttributeName: 'id', AttributeType: 'S' }, { AttributeName: name, AttributeType: type },
      ...sort.map(AttributeName => ({ AttributeName, AttributeType: 'S' as const }))
    ],
    GlobalSecondaryIndexes: [{
      IndexName: 'by-key',
      KeySchema: [{ AttributeName: name, KeyType: 'HASH' }, ...sort.map(AttributeName => ({ AttributeName, KeyType: 'RANGE' as const }))],
      Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['expires'] }
    }]
  }
}

/** Asks for the living sessions that have a value. `now`: epoch seconds. */
export function queryFor (table: string, name: string, value: unknown, now: number): QueryCommandInput {
  const key = typeof value === 'number' ? { N: String(value) } : value instanceof Uint8Array ? { B: value } : { S: String(value) }
  return {
    TableName: table,
    IndexName: 'by-key',
    KeyConditionExpression: '#key = :key',
    FilterExpression: 'expires > :now',
    ExpressionAttributeNames: { '#key': name },
    ExpressionAttributeValues: { ':key': key, ':now': { N: String(Math.floor(now)) } }
  }
}

/** The keys of the sessions that the index finds. */
export async function findIn (client: DynamoDBClient, ...what: Parameters<typeof queryFor>): Promise<string[]> {
  const { Items = [] } = await client.send(new QueryCommand(queryFor(...what)))
  return Items.map(({ id }) => String(id?.S)).sort()
}
