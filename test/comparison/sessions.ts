// What docs/comparison.md says of sessions: their ids and lives, their ends, their data.
import {
  beside, byApplication, byHost, con, conLacks, es, esCookie, esLacks, esMemory, esSession, esStore, flk, flkLacks, fs, fsId, fsLacks, fsSession,
  fss, fssLacks, fssTypes, fsTypes, host, inCookie, measured, no, none, option, partly, pwr, pwrLacks, pyr, pyrLacks, row, scsData, scsDynamoDB,
  scsLacks, scsSession, spCookie, spFilter, spLacks, spMap, spRedis, test, tsDynamoDB, tsLacks, tsService, tsSession, tsStore, unknown,
  web, webLacks, yes, type Theme
} from './systems.js'

const REPLACED = 'a secret is replaced, the old one still accepted: @fastify/session signs anew, and with saveUninitialized: false logs out who only reads; express-session leaves the token as it is'

const LIVES: Theme = {
  title: 'Identity and life cycle',
  rows: [
    row('A log-out makes a copied token worthless', {
      ours: yes(test('budget', 'a log-out costs a read and a DeleteItem, and clears the token'), test('advisories', 'CVE-2024-31999 @fastify/secure-session: a cookie that was captured before the log-out opens nothing after it')),
      pyr: partly('it empties the session, whose id stays valid; nothing is ever deleted', pyr('def invalidate(self):'), pyrLacks('delete_item')),
      web: yes(web('def clear(self, session_id):')),
      flk: yes(flk('session_manager.clear(session_instance.session_id)')),
      pwr: yes(pwr('await this._ddbDocClient.delete(')),
      con: yes(con('new DeleteItemCommand({')),
      fs: yes(fsSession('this[sessionStoreKey].destroy(this[sessionIdKey]')),
      fss: no('what was copied opens until it expires', measured('@fastify/secure-session: a cookie that was copied before the log-out opens after it')),
      es: yes(esSession('this.req.sessionStore.destroy(this.id, fn);')),
      scs: yes(scsData('func (s *SessionManager) Destroy(')),
      ts: yes(tsSession('pub async fn flush(&self)')),
      sp: yes(spFilter('sessionRepository.deleteById(getId())'))
    }),
    row('Random ids of 128 bits or more', {
      ours: yes('256 bits', test('token', 'an id is as many random bytes as configured, in base64url')),
      pyr: yes('256 bits', pyr('session.session_id = secrets.token_urlsafe()')),
      web: yes('256 bits', web('DEFAULT_SESSION_ID_BYTES = 32')),
      flk: yes('256 bits', web('DEFAULT_SESSION_ID_BYTES = 32')),
      ...byHost,
      fs: yes('192 bits', fsId('Buffer.allocUnsafe(24)')),
      fss: inCookie,
      es: yes('192 bits', es('return uid(24);')),
      scs: yes('256 bits', scsData('b := make([]byte, 32)')),
      ts: yes('128 bits', tsSession('Self(rand::rng().random())')),
      sp: partly('a UUID, of which 122 bits are random', spMap('UUID.randomUUID().toString()'))
    }),
    row('The store never has the id, only its hash', {
      ours: yes(test('token', 'the stored key is the SHA-256 of the id, in base64url'), beside('a stored key, signed with a secret that leaked')),
      pyr: yes(pyr("hashlib.sha256(session_id.encode('utf8')).digest()")),
      web: no(web("Key={'id': {'S': session_id}}")),
      flk: no(web("Key={'id': {'S': session_id}}")),
      pwr: no(measured('connect-dynamodb and dynamodb-session-store: a save that was under way when its session was destroyed makes it anew')),
      con: no(measured('connect-dynamodb and dynamodb-session-store: a save that was under way when its session was destroyed makes it anew')),
      fs: no(measured('express-session and @fastify/session: the id is what the store is given as a key')),
      fss: inCookie,
      es: no(measured('express-session and @fastify/session: the id is what the store is given as a key')),
      scs: option('HashTokenInStore', scsSession('HashTokenInStore bool')),
      ts: no('of the store for DynamoDB', tsDynamoDB('AttributeValue::S(self.pk(record.id))')),
      sp: no(spRedis('return this.namespace + "sessions:" + sessionId;'))
    }),
    row('An id that a visitor made up is never taken', {
      ours: yes(test('plugin', 'an unknown id is never adopted')),
      pyr: yes(pyr("if 'Item' not in r:\n            return DynamoDBSession.new_session()")),
      web: partly('what is returned carries the id, for the application to look at', web('return self.null_session_class(session_id=session_id)')),
      flk: yes(flk('instance = self.create_session(session_manager)')),
      ...byHost,
      fs: yes(fs('if (!session) {\n        request.session = new Session(')),
      fss: inCookie,
      es: yes(es("debug('no session found')\n          generate()")),
      scs: yes(scsData('} else if !found {')),
      ts: yes(tsSession('*self.inner.session_id.lock() = None;')),
      sp: yes(spFilter('sessionRepository.createSession();'))
    }),
    row('Tokens are signed', {
      ours: option('secrets', test('token', 'a signature that was touched is refused at every place')),
      pyr: no(pyrLacks('hmac', 'signature')),
      web: option('sid_keys', web('signer = Signer(keys)')),
      flk: option('SESSION_DYNAMODB_SID_KEYS', flk("'sid_keys': app.config.get(")),
      ...byHost,
      fs: yes(fs('cookieSigner.unsign(sessionId)')),
      fss: yes('sealed and authenticated', fss('sodium.crypto_secretbox_easy(cipher, msg, nonce, key[0])')),
      es: yes(es('val = unsigncookie(raw.slice(2), secrets);')),
      scs: no(scsLacks('hmac', 'signature')),
      ts: option('feature "signed" or "private"', tsService('pub struct SignedCookie {')),
      sp: no('base64 only', spCookie('private boolean useBase64Encoding = true;'))
    }),
    row('Keys are rotated, and tokens take up the new one', {
      ours: option('secrets', test('plugin', 'secrets are rotated without logging anybody out'), test('lifecycle', 'an outdated token is sent anew once, though the answer fails and onSend runs again')),
      pyr: none('no keys', pyrLacks('hmac', 'signature')),
      web: partly('old keys are accepted, a token stays as it is', web('signer.unsign(session_id)')),
      flk: partly('old keys are accepted, a token stays as it is', web('signer.unsign(session_id)')),
      ...byHost,
      fs: partly('yes by default; with saveUninitialized: false who only reads is logged out', measured(REPLACED)),
      fss: yes(fss('signingKeyRotated = decoded && i > 0'), fss('session.changed = signingKeyRotated')),
      es: partly('old ones are accepted, a token stays as it is until a cookie is sent', measured(REPLACED), es('setcookie(res, name, req.sessionID, secrets[0], req.session.cookie.data)')),
      scs: none('no keys', scsLacks('hmac', 'signature')),
      ts: no('one key', tsService('pub struct SignedCookie {\n    key: Key,')),
      sp: none('no keys', spCookie('private boolean useBase64Encoding = true;'))
    }),
    row('A new id at the log-in, and a choice of what is kept', {
      ours: yes('nothing, named keys or all', test('session', 'regenerate gives a new id at once and drops the data, or keeps what is named, or all')),
      pyr: no(pyrLacks('regenerate')),
      web: partly('create() makes one, the application ends the old', web('def create(self, *,')),
      flk: partly('create() makes one and drops the data; the old session stays valid', flk('def create(self):')),
      ...byHost,
      fs: yes('nothing or named keys', fsSession('regenerate (keys, callback) {')),
      fss: partly('the data goes, or all but named keys; there is no id', fss('regenerate (ignoredFields) {')),
      es: partly('everything goes', esStore('Store.prototype.regenerate = function(req, fn){')),
      scs: partly('everything stays, unless it is cleared', scsData('func (s *SessionManager) RenewToken(')),
      ts: partly('everything stays, unless it is cleared', tsSession('pub async fn cycle_id(&self)')),
      sp: partly('everything stays', spFilter('public String changeSessionId() {'))
    }),
    row('A failing log-in leaves the session of before whole', {
      ours: yes(beside('a log-in whose first write fails'), test('writer', 'a regenerate that failed before the mark was set leaves the old session and nothing else')),
      pyr: none('no new id', pyrLacks('regenerate')),
      web: none('left to the application', web('def create(self, *,')),
      flk: yes('the old session is never ended', flk('self.__dict__ = DynamoDbSession.create_session(session_manager).__dict__')),
      ...byHost,
      fs: no('the old one is deleted first', beside('a log-in whose first write fails')),
      fss: inCookie,
      es: no('the old one is deleted first', measured('express-session and @fastify/session: a log-in ends the session before it has stored the new one')),
      scs: no('the old one is deleted first', scsData('err := s.doStoreDelete(ctx, sd.token)')),
      ts: yes(tsSession('pending_deletions: parking_lot::Mutex<HashSet<Id>>')),
      sp: yes('the key is renamed', spRedis('sessionRedisOperations.rename(originalSessionIdKey,'))
    }),
    row('Visitors of whom nothing is known are not stored', {
      ours: yes(test('budget', 'an anonymous visitor costs no call and gets no cookie, on any route')),
      pyr: yes(pyr('if session.dirty:')),
      web: byApplication,
      flk: yes(flk('if session_instance.modified or not session_instance.new:')),
      ...byHost,
      fs: option('saveUninitialized: false', measured('express-session and @fastify/session: strangers are stored and given a cookie by default, and not with saveUninitialized: false')),
      fss: yes(measured('@fastify/secure-session: reads and strangers are sent no cookie, a cookie is Lax and not Secure, changes inside of an object are not seen, those of a failed handler are kept')),
      es: option('saveUninitialized: false', measured('express-session and @fastify/session: strangers are stored and given a cookie by default, and not with saveUninitialized: false')),
      scs: yes(scsSession('case Modified:')),
      ts: yes(tsService('(modified || session_config.always_save)')),
      sp: yes(spFilter('if (!create) {'))
    })
  ]
}

const ENDS: Theme = {
  title: 'Expiry',
  rows: [
    row('Idle timeout', {
      ours: yes(test('plugin', 'a session is dead at its expiry and alive one second before, whichever timeout it is')),
      pyr: yes(pyr('timeout=1200')),
      web: yes(web('DEFAULT_IDLE_TIMEOUT = 7200')),
      flk: yes(flk("'idle_timeout_seconds': app.config.get(")),
      pwr: yes("by the cookie's maxAge, or a day", pwr('this.newExpireSecondsSinceEpochUTC(session)')),
      con: yes("by the cookie's maxAge, or a day", con('typeof sess.cookie.maxAge === "number"')),
      fs: option("the cookie's maxAge", fsSession('this.cookie.expires = new Date(Date.now() + this.cookie.originalMaxAge)')),
      fss: partly('counted from the last change or touch()', fss('(parsed.__ts + expiry) * 1000 - Date.now() <= 0')),
      es: option("the cookie's maxAge", es('req.session.touch()')),
      scs: option('IdleTimeout', scsSession('IdleTimeout time.Duration')),
      ts: option('OnInactivity, with always_save also by reads', tsSession('Some(Expiry::OnInactivity(duration))'), tsService('always_save: bool')),
      sp: yes(spMap('DEFAULT_MAX_INACTIVE_INTERVAL_SECONDS = 1800'))
    }),
    row('An absolute lifetime beside it', {
      ours: yes(test('plugin', 'constant use prolongs a session up to its absolute timeout and no further')),
      pyr: no(pyrLacks('absolute', 'lifetime')),
      web: yes(web('return min(absolute_expiration, idle_expiration)')),
      flk: yes('31 days unless it is set', flk('absolute_timeout = permanent_lifetime_cfg')),
      pwr: no(pwrLacks('absolute', 'lifetime')),
      con: no(conLacks('absolute', 'lifetime')),
      fs: no(fsLacks('absolute', 'lifetime')),
      fss: no('each change begins anew', fss('this[kObj].__ts = Math.round(Date.now() / 1000)')),
      es: no(esLacks('absolute', 'lifetime')),
      scs: yes(scsSession("The lifetime is an 'absolute expiry'")),
      ts: no('the one or the other', tsSession('Some(Expiry::AtDateTime(datetime)) => datetime')),
      sp: unknown(spLacks('absolute'))
    }),
    row('Reads do not write each time to prolong it', {
      ours: yes('once in a tenth of the timeout, or never with idleTracking "cookie"', test('budget', 'once per reissue time a read renews: one UpdateItem, and still no cookie'), test('renewals', 'a renewal is remembered for a reissue time, and no longer')),
      pyr: yes('reissue_time', pyr('time() - session.issued_at > self.reissue_time')),
      web: no(web('self._dynamo_set(data, session_id, modified=False)')),
      flk: no('two writes for each read', flk('session_manager.save(session_instance)'), web('self._dynamo_set(data, session_id, modified=False)')),
      pwr: yes('touchAfter, with express-session and resave: false', measured('connect-dynamodb writes with every touch, dynamodb-session-store once in touchAfter')),
      con: no(measured('connect-dynamodb writes with every touch, dynamodb-session-store once in touchAfter')),
      fs: partly('each read writes, or with rolling: false none does and nothing is prolonged', measured('a read by who is signed in: @fastify/session writes and sends a cookie by default, and neither with rolling: false; express-session sends none')),
      fss: partly('reads prolong nothing', measured('@fastify/secure-session: reads and strangers are sent no cookie, a cookie is Lax and not Secure, changes inside of an object are not seen, those of a failed handler are kept')),
      es: no('each read is a touch, where the store has one', es('store.touch(req.sessionID, req.session, function ontouch(err) {')),
      scs: partly('with IdleTimeout each request is a change; without it none prolongs anything', scsData('if s.IdleTimeout > 0 {\n\t\tsd.status = Modified')),
      ts: partly('reads prolong nothing; with always_save each writes', tsSession('Reading a session is not considered activity for expiration purposes.'), tsService('(modified || session_config.always_save)')),
      sp: no('each use sets the time of the last access', spFilter('requestedSession.setLastAccessedTime(Instant.now());'))
    }),
    row('The end is checked at the read, not left to a sweep', {
      ours: yes(test('plugin', 'a session is dead at its expiry and alive one second before, whichever timeout it is')),
      pyr: yes(pyr("if r['Item']['exp'] < time():")),
      web: yes(web("FilterExpression='expires > :now'")),
      flk: yes(web("FilterExpression='expires > :now'")),
      pwr: yes(pwr('Item.expires * 1000 < Date.now()')),
      con: yes(con('now >= +result.Item.expires.N')),
      fs: yes(fs('expiration.getTime() <= Date.now()')),
      fss: yes(fss('(parsed.__ts + expiry) * 1000 - Date.now() <= 0')),
      es: host('the store does; its MemoryStore too', esMemory('if (expires && expires <= Date.now())')),
      scs: yes('in the store for DynamoDB', scsDynamoDB('if time.Now().Unix() > expiry {')),
      ts: yes('in the store for DynamoDB', tsDynamoDB('.filter_expression("#expire_at > :expire_at")')),
      sp: yes(spRedis('if (!allowExpired && loaded.isExpired()) {'))
    }),
    row('A session may have timeouts of its own', {
      ours: yes(test('plugin', 'a session has timeouts of its own where it sets them')),
      pyr: no(pyr("'exp': session.issued_at + self.timeout")),
      web: yes(web("fields['idle_timeout'] = {'N': str(data.idle_timeout)}")),
      flk: yes(web("fields['idle_timeout'] = {'N': str(data.idle_timeout)}")),
      ...byHost,
      fs: yes(fsSession('options (opts) {')),
      fss: partly('the cookie, not the expiry in it', fss('options (opts) {')),
      es: yes(esCookie('set maxAge(ms) {')),
      scs: yes(scsData('func (s *SessionManager) SetDeadline(')),
      ts: yes(tsSession('pub fn set_expiry(&self')),
      sp: yes(spRedis('public void setMaxInactiveInterval(Duration interval) {'))
    })
  ]
}

const DATA: Theme = {
  title: 'Data',
  rows: [
    row('Typed keys', {
      ours: yes(test('plugin', 'a visitor logs in, reads and changes typed data, and logs out')),
      pyr: no('a dict', pyr('get = proxy(dict.get)')),
      web: partly('a class of your own', web('data_type: Type[T] = SessionDictInstance')),
      flk: no('a dict', flk('class DynamoDbSessionInstance(SessionDictInstance, SessionMixin):')),
      ...byHost,
      fs: yes(fsTypes('interface Session extends ExpressSessionData')),
      fss: yes(fssTypes('interface SessionData')),
      es: partly('by types of others', esLacks('interface SessionData')),
      scs: partly('getters of each kind', scsData('func (s *SessionManager) GetInt(')),
      ts: yes('by serde, where a value is read', tsSession('pub async fn get<T: DeserializeOwned>')),
      sp: partly('cast where a value is read', spMap('return (T) this.sessionAttrs.get(attributeName);'))
    }),
    row('Changes inside of an object are noticed', {
      ours: yes(test('values', 'a change inside a value that was read is seen')),
      pyr: no('changed() says so', pyr('def changed(self):')),
      web: none('saved when the application says so', web('def save(self, data: T):')),
      flk: partly('a session that exists is saved whole in any case, a new one is not', flk('if session_instance.modified or not session_instance.new:')),
      ...byHost,
      fs: yes(measured('express-session and @fastify/session: a change inside of an object is noticed, and the whole session is written')),
      fss: no(measured('@fastify/secure-session: reads and strangers are sent no cookie, a cookie is Lax and not Secure, changes inside of an object are not seen, those of a failed handler are kept')),
      es: yes(measured('express-session and @fastify/session: a change inside of an object is noticed, and the whole session is written')),
      scs: no(scsData('sd.values[key] = val\n\tsd.status = Modified')),
      ts: no('values are copied in and out', tsSession('Ok(record_guard.data.get(key).cloned())')),
      sp: option('SaveMode.ON_GET_ATTRIBUTE', spRedis('saveMode.equals(SaveMode.ON_GET_ATTRIBUTE)'))
    }),
    row('Only what has changed is written', {
      ours: yes(test('budget', 'changing one key of ten costs one UpdateItem that carries that key only, and sends the companion only')),
      pyr: no(pyr("'dat': json.dumps(session.state)")),
      web: no(web("fields['data'] = {'S': data.data}")),
      flk: no(web("fields['data'] = {'S': data.data}")),
      pwr: no(pwr('await this._ddbDocClient.put(')),
      con: no(con('const sessString = JSON.stringify(sess);')),
      fs: no(measured('express-session and @fastify/session: a change inside of an object is noticed, and the whole session is written')),
      fss: inCookie,
      es: no(measured('express-session and @fastify/session: a change inside of an object is noticed, and the whole session is written')),
      scs: no(scsData('b, err := s.Codec.Encode(sd.deadline, sd.values)')),
      ts: no(tsSession('self.store.save(&record_guard).await?;')),
      sp: yes(spRedis('getSessionBoundHashOperations(sessionId).putAll(this.delta);'))
    }),
    row('Bytes, sets and big integers survive', {
      ours: option("format: 'native' or a codec", test('native', 'bytes, sets, big integers and everything nested come back as they were')),
      pyr: no('JSON', pyr("json.loads(r['Item']['dat'])")),
      web: partly('a class of your own may', web('def serialize(self) -> str:')),
      flk: no('JSON', web('return json.dumps(self)')),
      pwr: partly('big integers do; sets and bytes do not', measured('dynamodb-session-store: big integers come back, dates come back as texts, sets and bytes do not come back')),
      con: no('JSON', con('const sessString = JSON.stringify(sess);')),
      fs: host('the store', fsSession('this[sessionStoreKey].set(this[sessionIdKey], this,')),
      fss: no('JSON', fss('JSON.stringify(session[kObj])')),
      es: host('the store', esSession('this.req.sessionStore.set(this.id, this')),
      scs: yes('gob', scsSession('GobCodec{}')),
      ts: partly('what serde makes JSON of', tsSession('serde_json::to_value(&value)?')),
      sp: yes('Java serialisation', spRedis('new JdkSerializationRedisSerializer()'))
    }),
    row('A serialiser of your own', {
      ours: yes(test('plugin', 'an own codec writes and reads, and other formats stay readable')),
      pyr: no(pyr('json.dumps(session.state)')),
      web: yes(web('def serialize(self) -> str:')),
      flk: no(flk('SessionManager(DynamoDbSessionInstance')),
      pwr: no(pwrLacks('serializer')),
      con: no(conLacks('serializer')),
      fs: host('the store', fsLacks('serializer')),
      fss: no(fss('JSON.stringify(session[kObj])')),
      es: host('the store', esLacks('serializer')),
      scs: yes(scsSession('Codec Codec')),
      ts: host('the store', tsStore('async fn save(&self, session_record: &Record) -> Result<()>;')),
      sp: yes(spRedis('public void setDefaultSerializer(RedisSerializer<Object> defaultSerializer) {'))
    }),
    row('Values are sealed in the store, with keys that rotate', {
      ours: option('encryptionKeys', test('seal', 'the newest key seals, every key opens, and one that is gone is told of')),
      pyr: no(pyrLacks('encrypt', 'cipher')),
      web: no(webLacks('encrypt', 'cipher')),
      flk: no(flkLacks('encrypt', 'cipher')),
      pwr: no(pwrLacks('encrypt', 'cipher')),
      con: no(conLacks('encrypt', 'cipher')),
      fs: no(fsLacks('createCipher', 'secretbox')),
      fss: yes('the cookie', fss('crypto_secretbox_open_easy(msg, cipher, nonce, k)')),
      es: no(esLacks('createCipher', 'secretbox')),
      scs: no(scsLacks('encrypt', 'cipher')),
      ts: no('the cookie may be', tsSession('serde_json::to_value(&value)?'), tsService('pub struct PrivateCookie {')),
      sp: unknown(spLacks('encrypt', 'cipher'))
    }),
    row('Large values are compressed', {
      ours: option('compress', test('envelope', 'a value is compressed where that saves a KB, and not for a byte less')),
      pyr: no(pyrLacks('gzip', 'zlib')),
      web: no(webLacks('gzip', 'zlib')),
      flk: no(flkLacks('gzip', 'zlib')),
      pwr: no(pwrLacks('gzip', 'zlib')),
      con: no(conLacks('gzip', 'zlib')),
      fs: no(fsLacks('gzip', 'zlib')),
      fss: no(fssLacks('gzip', 'zlib')),
      es: no(esLacks('gzip', 'zlib')),
      scs: no('a Codec of your own may', scsLacks('gzip', 'zlib')),
      ts: no(tsLacks('gzip', 'zlib')),
      sp: unknown(spLacks('gzip', 'zlib'))
    }),
    row('What is too large is refused before it is sent, by name', {
      ours: yes(test('size', 'an item beyond the limit is refused, and its three largest keys are named')),
      pyr: no('DynamoDB refuses it', pyrLacks('size')),
      web: no('DynamoDB refuses it', webLacks('size')),
      flk: no('DynamoDB refuses it', flkLacks('size')),
      pwr: no('DynamoDB refuses it', pwrLacks('byteLength')),
      con: no('DynamoDB refuses it', conLacks('byteLength')),
      fs: host('the store', fsLacks('byteLength')),
      fss: no('browsers drop a cookie of more than 4 KB', fssLacks('4096')),
      es: host('the store', esLacks('byteLength')),
      scs: host('the store', scsLacks('too large')),
      ts: host('the store', tsLacks('too large')),
      sp: unknown(spLacks('too large'))
    }),
    row('Flash messages and CSRF tokens come with it', {
      ours: no('@fastify/flash and @fastify/csrf-protection work on it', test('comparison', 'what this library does not have is not in its code')),
      pyr: yes(pyr("def flash(self, msg, queue='', allow_duplicate=True):"), pyr('def new_csrf_token(self):')),
      web: no(webLacks('flash', 'csrf')),
      flk: no("Flask's own flash works on it", flkLacks('csrf')),
      ...byHost,
      fs: no('@fastify/flash and @fastify/csrf-protection work on it', fsLacks('flash', 'csrf')),
      fss: no('@fastify/flash and @fastify/csrf-protection work on it', fssLacks('flash', 'csrf')),
      es: no('packages of others work on it', esLacks('flash', 'csrf')),
      scs: partly('Pop reads once', scsData('func (s *SessionManager) Pop(')),
      ts: no(tsLacks('flash', 'csrf')),
      sp: unknown(spLacks('flash', 'csrf'))
    })
  ]
}

export const SESSION_THEMES: readonly Theme[] = [LIVES, ENDS, DATA]
