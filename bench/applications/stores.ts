import { createRequire } from 'node:module'
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'

/** The packages that are measured beside this one are CommonJS, and most bring no types. */
export const load = createRequire(import.meta.url)

type Store = new (options: object) => object

/** A store for express-session, which @fastify/session takes as well, with its defaults and what else is given. */
export function makeStore (client: DynamoDBClient, table: string, name: string, options: object = {}): object {
  if (name === 'connect-dynamodb') {
    const connect = load('connect-dynamodb') as (session: object) => Store
    return new (connect(load('express-session') as object))({ table, client, ...options })
  }
  return new (sessionStore())({ tableName: table, dynamoDBClient: client, ...options })
}

/** Version 1.1.0 was packed without a helper of the TypeScript compiler's, and cannot be loaded where nobody else brings it. */
function sessionStore (): Store {
  // What it imports that way is CommonJS.
  Object.assign(globalThis, { __importDefault: (module: object) => ({ default: module }) })
  return (load('@pwrdrvr/dynamodb-session-store') as { DynamoDBStore: Store }).DynamoDBStore
}
