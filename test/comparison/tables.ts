// What docs/comparison.md says of tables and other stores. Systems without a store for DynamoDB have no part in most of it.
import {
  byHost, con, conLacks, esLacks, esReadme, flk, flkLacks, fs, fsLacks, fss, host, inCookie, measured, no, none, option, partly, pwr, pwrLacks, pyr, pyrLacks,
  row, scsDynamoDB, scsSession, scsStoreLacks, spJdbc, spLacks, spRedis, test, tsDynamoDB, tsStore, tsStoreLacks, web, webLacks, yes, type Cell, type Theme
} from './systems.js'

const BACK = 'connect-dynamodb and dynamodb-session-store: a save that was under way when its session was destroyed makes it anew'
const GHOST = 'connect-dynamodb: a touch after the end leaves an item without a session; dynamodb-session-store: it is an error'
const CALLS = 'connect-dynamodb describes the table and reads strongly consistent, dynamodb-session-store does neither'

/** Who brings no store for DynamoDB. The stores beside it are those of others. */
const NOT_THERE: { fs: Cell, fss: Cell, es: Cell, sp: Cell } = {
  fs: host('the store', fsLacks('dynamodb')),
  fss: inCookie,
  es: host('the store', esLacks('dynamodb')),
  sp: none('no store for DynamoDB found', spLacks('dynamodb'))
}

const TABLE: Theme = {
  title: 'DynamoDB',
  rows: [
    row('Every write has a condition', {
      ours: yes(test('commands', 'every write has a condition')),
      pyr: partly('renewals have none', pyr("'ver': {'Value': old_version}"), pyr('self.table.update_item(')),
      web: no(webLacks('ConditionExpression')),
      flk: no(flkLacks('ConditionExpression')),
      pwr: no(measured(BACK)),
      con: no(measured(BACK)),
      ...NOT_THERE,
      scs: no(scsStoreLacks('ConditionExpression')),
      ts: no(tsStoreLacks('condition_expression(')),
    }),
    row('Reads at half the price, and one still sees what one wrote', {
      ours: yes('a companion cookie names the version', test('plugin', 'a visitor who just wrote sees what they wrote, though reads lag behind')),
      pyr: yes('the version is in the cookie', pyr("if 'Item' not in r or r['Item']['ver'] < version:")),
      web: partly('strongly consistent always', web('ConsistentRead=True')),
      flk: partly('strongly consistent always', web('ConsistentRead=True')),
      pwr: partly('the one or the other', pwr('useStronglyConsistentReads = false'), measured(CALLS)),
      con: partly('strongly consistent always', measured(CALLS)),
      ...NOT_THERE,
      scs: partly('at half the price, without the rest', scsStoreLacks('ConsistentRead')),
      ts: partly('at half the price, without the rest', tsStoreLacks('consistent_read'))
    }),
    row('A renewal after the end leaves nothing behind', {
      ours: yes(test('commands', 'every write has a condition'), test('differential', 'a log-out while a renewal is held')),
      pyr: no('an item that later reads fail on', pyr('def _reissue(self, session):')),
      web: no('an item that later reads fail on', web('self._dynamo_set(data, session_id, modified=False)')),
      flk: no('the whole session', web('self._dynamo_set(dynamo_data, data.session_id, modified=True)')),
      pwr: partly('nothing is left, and the host is given an error', measured(GHOST)),
      con: no(measured(GHOST)),
      ...NOT_THERE,
      scs: no('the whole session', scsDynamoDB('_, err := d.client.PutItem(ctx,')),
      ts: no('the whole session', tsDynamoDB('.put_item()'))
    }),
    row('No call to describe or make the table while it serves', {
      ours: yes(test('start', 'onReady looks at the table by one read, and not at all with verify: false'), test('cli-table', 'create-table makes the table that the plugin wants')),
      pyr: yes(pyrLacks('create_table', 'describe_table')),
      web: yes(webLacks('create_table', 'describe_table')),
      flk: yes(flkLacks('create_table', 'describe_table')),
      pwr: yes('unless createTableOptions are given', pwr('if (this._createTableOptions !== undefined) {'), measured(CALLS)),
      con: option('initialized: true; without it the first request describes the table, or makes it', measured(CALLS), con('this.initialized = options.initialized || false;')),
      ...NOT_THERE,
      scs: yes(scsStoreLacks('CreateTable', 'DescribeTable')),
      ts: yes(tsStoreLacks('create_table', 'describe_table'))
    }),
    row('A permission that is missing is an error of the request', {
      ours: yes(test('lifecycle', 'a read that fails answers 503, leaves the cookie alone, and does not run the handler')),
      pyr: yes('the exception of the SDK', pyrLacks('ClientError')),
      web: yes('the exception of the SDK', webLacks('ClientError')),
      flk: yes('the exception of the SDK', flkLacks('ClientError')),
      pwr: yes(pwr('callback(err);')),
      con: no('at the first look the request hangs', measured("connect-dynamodb, where the table may not be described: the callback is not called, and the rejection is nobody's")),
      ...NOT_THERE,
      scs: yes(scsDynamoDB('unable to get item in dynamodb: %w')),
      ts: yes(tsDynamoDB('.map_err(DynamoDBStoreError::DynamoDbQuery)?'))
    }),
    row('A key prefix, beside other items', {
      ours: yes(test('plugin', 'a prefix keeps two applications on one table apart')),
      pyr: no(pyrLacks('prefix')),
      web: no(webLacks('prefix')),
      flk: no(flkLacks('prefix')),
      pwr: yes(pwr("prefix = 'session#'")),
      con: yes(con('null == options.prefix ? "sess:" : options.prefix')),
      ...NOT_THERE,
      scs: no(scsStoreLacks('prefix')),
      ts: yes('and a sort key', tsDynamoDB('pub prefix: Option<String>,'), tsDynamoDB('pub sort_key: Option<DynamoDBStoreKey>,'))
    }),
    row('A table with a sort key', {
      ours: no(test('cli-purge', 'a table that is not there, or has a sort key, is an error and no empty table')),
      pyr: no(pyr("Key={'sid': self._hashed_id(session_id)}")),
      web: no(web("Key={'id': {'S': session_id}}")),
      flk: no(web("Key={'id': {'S': session_id}}")),
      pwr: no(pwrLacks('RANGE')),
      con: no(conLacks('RANGE')),
      ...NOT_THERE,
      scs: no(scsStoreLacks('sort')),
      ts: option('sort_key', tsDynamoDB('pub sort_key: Option<DynamoDBStoreKey>,'))
    }),
    row('Session keys as attributes, for an index of your own', {
      ours: option('indexKeys', test('index-keys', 'an index finds exactly the living sessions of a user, from log-in to log-out, and no call is made for it')),
      pyr: no(pyrLacks('index')),
      web: no(webLacks('index')),
      flk: no(flkLacks('index')),
      pwr: no(pwrLacks('IndexName', 'specialKeys')),
      con: option('specialKeys', con('params.Item[key.name] = item;')),
      ...NOT_THERE,
      scs: no(scsStoreLacks('index')),
      ts: no(tsStoreLacks('index'))
    }),
    row('Sessions of other stores move in', {
      ours: option('importFrom, and a command; all five of these', test('importer', 'a session of Pyramid moves with its flash messages'), test('importer', 'a session of dynamodb-session-web or dynamodb-session-flask moves with its age, by cookie or header'), test('cli-import', "rows of both are copied within the table that they are in, and records of ours are others'")),
      pyr: no(pyrLacks('migrat')),
      web: no(webLacks('migrat')),
      flk: no(flkLacks('migrat')),
      pwr: partly('rows of connect-dynamodb are read', pwr('If the sessionData is a string, try to parse it as JSON')),
      con: no(conLacks('migrat')),
      ...NOT_THERE,
      scs: no(scsStoreLacks('migrat')),
      ts: no(tsStoreLacks('migrat'))
    }),
    row('Any other store than DynamoDB', {
      ours: no('but a repository of your own, or one in memory for tests', test('contract', 'in memory')),
      pyr: no(pyr("dynamodb = boto3.resource('dynamodb')")),
      web: no(web("boto3.client('dynamodb', **boto_client_kwargs)")),
      flk: no(flk('from dynamodb_session_web import SessionManager')),
      ...byHost,
      fs: yes('stores of express-session', fs('options.store || new Store()')),
      fss: yes('needs none', fss('fastify.encodeSecureSession(session, sessionName)')),
      es: yes('dozens, of others', esReadme('## Compatible Session Stores')),
      scs: yes('more than twenty', scsSession('Store Store'), scsDynamoDB('type DynamoDBStore struct {')),
      ts: yes('SQL, Redis, MongoDB and others', tsStore('pub trait SessionStore: Debug + Send + Sync')),
      sp: yes('Redis, SQL and others', spRedis('public class RedisIndexedSessionRepository'), spJdbc('public class JdbcIndexedSessionRepository'))
    })
  ]
}

export const TABLE_THEMES: readonly Theme[] = [TABLE]
