// What docs/comparison.md says of requests that meet, of users and operation, of cookies, and of outages.
import {
  beside, byApplication, byHost, con, conLacks, es, esLacks, esMemory, esSession, flk, flkLacks, flkTesting, fs, fsLacks, fsSession, fss, fssLacks, inCookie,
  measured, no, none, option, partly, pwr, pwrLacks, pyr, pyrLacks, row, scsData, scsDynamoDB, scsLacks, scsSession, spCookie, spFilter, spHeader,
  spLacks, spMap, spRedis, spRegistry, spResolver, spSocket, test, tsDynamoDB, tsLacks, tsService, tsSession, tsStore, unknown, web, webLacks, yes, type Theme
} from './systems.js'

const SECURE = '@fastify/secure-session: reads and strangers are sent no cookie, a cookie is Lax and not Secure, changes inside of an object are not seen, those of a failed handler are kept'
const BACK = 'connect-dynamodb and dynamodb-session-store: a save that was under way when its session was destroyed makes it anew'
const LOST = 'express-session and @fastify/session: of two requests that change different keys, what one has changed is lost'
const UNDONE = 'express-session and @fastify/session: a log-out is undone by a request that was about to save'
const READS = 'a read by who is signed in: @fastify/session writes and sends a cookie by default, and neither with rolling: false; express-session sends none'
const LEFT = 'express-session and @fastify/session: a log-out leaves the cookie with the browser'
const DOWN = 'express-session and @fastify/session: with the store down strangers are served where nothing is stored of them, and who is signed in gets 500 on any route, without Retry-After'
const ATTRIBUTES = 'express-session and @fastify/session: cookies have no SameSite unless it is set'
const SOCKETS = '@fastify/session and @fastify/secure-session: a web socket has the session, and what it changes is lost unless @fastify/session is told to save it'
const FAILED = 'express-session and @fastify/session: what a handler changed before it failed is stored'

const MEETING: Theme = {
  title: 'Requests that meet',
  rows: [
    row('Two requests change different keys, and both changes stay', {
      ours: yes(beside('two requests change different keys')),
      pyr: partly('the second one is noticed and fails with 500', pyr('raise RaceConditionException(')),
      web: no(web("UpdateExpression=f'SET {\", \".join(update_expression)}'"), webLacks('ConditionExpression')),
      flk: no(web("UpdateExpression=f'SET {\", \".join(update_expression)}'"), flkLacks('ConditionExpression')),
      pwr: no('with either host', measured(LOST), pwrLacks('ConditionExpression')),
      con: no('with either host', measured(LOST), conLacks('ConditionExpression')),
      fs: no(measured(LOST), beside('two requests change different keys')),
      fss: no('the later answer stands', measured('@fastify/secure-session: of two answers with changes of different keys, the later one stands')),
      es: no(measured(LOST)),
      scs: no(scsData('s.doStoreCommit(ctx, sd.token, b, expiry)')),
      ts: no(tsSession('self.store.save(&record_guard).await?;')),
      sp: yes('each attribute is a field of its own', spRedis('private SaveMode saveMode = SaveMode.ON_SET_ATTRIBUTE;'))
    }),
    row('A value can be updated by what it is, and no update is lost', {
      ours: yes('update()', beside('20 increments at once, in two processes')),
      pyr: partly('by the version of the session, without a repetition', pyr("'ver': {'Value': old_version}")),
      web: no(webLacks('ConditionExpression')),
      flk: no(flkLacks('ConditionExpression')),
      pwr: no(pwrLacks('ConditionExpression')),
      con: no(conLacks('ConditionExpression')),
      fs: no(beside('20 increments at once, in two processes')),
      fss: no('the later answer stands', measured('@fastify/secure-session: of two answers with changes of different keys, the later one stands')),
      es: no('the session is written whole', measured(LOST)),
      scs: no('the session is written whole', scsData('s.doStoreCommit(ctx, sd.token, b, expiry)')),
      ts: no('the session is written whole', tsSession('self.store.save(&record_guard).await?;')),
      sp: unknown(spLacks('increment', 'compareAnd'))
    }),
    row('A log-out stays one while other requests save', {
      ours: yes(beside('a log-out while a save is held'), beside('a log-out while a renewal is held')),
      pyr: partly('a save has a condition, a renewal has none; there is no deletion', pyr('def _reissue(self, session):'), pyr("'ver': {'Value': old_version}")),
      web: no(web("UpdateExpression=f'SET {\", \".join(update_expression)}'"), webLacks('ConditionExpression')),
      flk: no(web("UpdateExpression=f'SET {\", \".join(update_expression)}'"), flkLacks('ConditionExpression')),
      pwr: no(measured(BACK)),
      con: no(measured(BACK)),
      fs: no(measured(UNDONE), beside('a log-out while a save is held')),
      fss: no('a copied cookie stays valid in any case', measured('@fastify/secure-session: a cookie that was copied before the log-out opens after it')),
      es: no(measured(UNDONE)),
      scs: no('the store for DynamoDB puts without a condition', scsDynamoDB('_, err := d.client.PutItem(ctx,')),
      ts: no('the store for DynamoDB puts without a condition', tsDynamoDB('.put_item()')),
      sp: yes('what is saved late finds a lifetime of 0, and stays expired', spRedis('session.setMaxInactiveInterval(Duration.ZERO);'), spRedis('getSessionBoundHashOperations(sessionId).putAll(this.delta);'))
    }),
    row('A new session never takes the place of another', {
      ours: yes(test('writer', 'a new session under an id that is taken gets another id, and the other session stays')),
      pyr: yes(pyr("'sid': {'Exists': False}")),
      web: no(webLacks('ConditionExpression', 'attribute_not_exists')),
      flk: no(flkLacks('ConditionExpression', 'attribute_not_exists')),
      pwr: no(pwrLacks('attribute_not_exists')),
      con: no(conLacks('attribute_not_exists')),
      fs: no('written without a look, which 192 bits of chance allow', fsSession('this[sessionStoreKey].set(this[sessionIdKey], this,')),
      fss: inCookie,
      es: no('written without a look, which 192 bits of chance allow', esSession('this.req.sessionStore.set(this.id, this')),
      scs: no('written without a look, which 256 bits of chance allow', scsData('s.doStoreCommit(ctx, sd.token, b, expiry)'), scsDynamoDB('_, err := d.client.PutItem(ctx,')),
      ts: partly('where the store has create()', tsStore('async fn create(&self, session_record: &mut Record)'), tsStore('The default implementation of `SessionStore::create` is being used')),
      sp: unknown(spLacks('collision'))
    }),
    row('The session is stored before the answer begins', {
      ours: yes(test('lifecycle', 'a save that fails answers 503 with Retry-After and a public message, sends no token, and is tried once')),
      pyr: yes(pyr('request.add_response_callback(callback)')),
      web: byApplication,
      flk: yes(flk('def save_session(self, app: Flask, session: SessionMixin, response: Response):')),
      ...byHost,
      fs: yes(measured('express-session: the head of an answer is sent before its session is stored, and @fastify/session stores it first')),
      fss: yes('nothing is stored', fss("fastify.addHook('onSend'")),
      es: no('before the answer ends', measured('express-session: the head of an answer is sent before its session is stored, and @fastify/session stores it first')),
      scs: yes(scsSession('sw.sessionManager.commitAndWriteSessionCookie(sw.ResponseWriter, sw.request)')),
      ts: yes(tsService('session.save().await')),
      sp: yes('where the answer is committed', spFilter('protected void onResponseCommitted() {'))
    }),
    row('What a handler changed before it failed with 5xx is dropped', {
      ours: yes('or saved, with saveOnServerError', beside('changes of a handler that fails with 500')),
      pyr: unknown('Pyramid decides whether callbacks run', pyrLacks('status')),
      web: byApplication,
      flk: no(flkLacks('status')),
      ...byHost,
      fs: no(measured(FAILED), beside('changes of a handler that fails with 500')),
      fss: no(measured(SECURE)),
      es: no(measured(FAILED)),
      scs: no(scsSession('func (sw *sessionResponseWriter) WriteHeader(code int) {')),
      ts: yes('and with 4xx', tsService('!res.status().is_server_error()')),
      sp: no(spFilter('finally {\n\t\t\twrappedRequest.commitSession();'))
    }),
    row('Losses are told of: after the answer, in a stream, on a hijacked reply', {
      ours: yes(beside('a change after the answer was sent'), beside('a change while the answer streams'), beside('a change on a hijacked reply')),
      pyr: no(pyrLacks('warn', 'logging')),
      web: byApplication,
      flk: no('a failed id is logged, no loss', flk('app.logger.warning(exc)')),
      ...byHost,
      fs: no(beside('a change after the answer was sent'), beside('a change while the answer streams'), beside('a change on a hijacked reply')),
      fss: unknown('not measured', fssLacks('log.warn')),
      es: unknown('not measured', esLacks('too late')),
      scs: unknown('not measured', scsLacks('warn')),
      ts: unknown('not measured', tsLacks('too late')),
      sp: unknown(spLacks('too late'))
    })
  ]
}

const USERS: Theme = {
  title: 'Users and operation',
  rows: [
    row("A list of a user's sessions", {
      ours: option('userIndex', test('users', 'a list tells of each session what its user wants to know, newest first, by one read')),
      pyr: no(pyrLacks('user')),
      web: no(webLacks('user')),
      flk: no(flkLacks('user_id')),
      pwr: no(pwrLacks('IndexName', 'user_id')),
      con: partly('specialKeys, for an index and a query of your own', con('this.specialKeys.forEach((key) => {')),
      fs: no(fsLacks('all (', 'userId')),
      fss: inCookie,
      es: partly('all sessions, where the store has all()', esMemory('MemoryStore.prototype.all = function all(callback) {')),
      scs: partly('all sessions, where the store can', scsData('func (s *SessionManager) Iterate(')),
      ts: no(tsLacks('user_id', 'principal')),
      sp: yes(spRedis('public Map<String, RedisSession> findByIndexNameAndIndexValue(String indexName, String indexValue) {'))
    }),
    row('Log out everywhere, also against requests under way', {
      ours: option('userIndex', test('users', 'revokeAll ends every session of a user but those excepted, and no other user is touched'), test('user-races', 'revokeAll while 50 requests of the user are in flight through 4 instances: none of the sessions reads, and none comes back')),
      pyr: no(pyrLacks('user')),
      web: no(webLacks('user')),
      flk: no(flkLacks('user_id')),
      pwr: no(pwrLacks('IndexName', 'user_id')),
      con: partly('by specialKeys, without the second half', con('this.specialKeys.forEach((key) => {'), measured(BACK)),
      fs: no(fsLacks('userId')),
      fss: inCookie,
      es: partly('all() and destroy(), where the store has both, without the second half', esMemory('MemoryStore.prototype.all = function all(callback) {'), measured(UNDONE)),
      scs: partly('Iterate() and Destroy(), without the second half', scsData('func (s *SessionManager) Iterate(')),
      ts: no(tsLacks('user_id', 'principal')),
      sp: partly('a loop over the list, which a log-in may miss meanwhile', spRedis('public void deleteById(String sessionId) {'))
    }),
    row('At most so many sessions for a user', {
      ours: option('maxSessions', test('users', 'no more than maxSessions are left: a further log-in ends the oldest')),
      pyr: no(pyrLacks('user')),
      web: no(webLacks('user')),
      flk: no(flkLacks('user_id')),
      pwr: no(pwrLacks('max_sessions', 'maxSessions')),
      con: no(conLacks('maxSessions')),
      fs: no(fsLacks('maxSessions')),
      fss: inCookie,
      es: no(esLacks('maxSessions')),
      scs: no(scsLacks('MaxSessions')),
      ts: no(tsLacks('max_sessions')),
      sp: yes('with Spring Security', spRegistry('This allows concurrent session management with\n * Spring Security in a clustered environment.'))
    }),
    row('Sessions without a request: for jobs, scripts, sockets', {
      ours: yes(test('manager', 'a session is created, loaded, changed, saved and destroyed without a request')),
      pyr: no(pyr('def __call__(self, request):')),
      web: yes(web('def load(self, session_id) -> T:')),
      flk: partly('by the manager below it', flk('def create_session_manager(app: Flask) -> SessionManager:')),
      pwr: yes('get() and set()', pwr('await this._ddbDocClient.get(')),
      con: yes('get() and set()', con('DynamoDBStore.prototype.get = function (sid, fn) {')),
      fs: partly('decryptSession() of a cookie', fs("fastify.decorate('decryptSession'")),
      fss: yes(fss("fastify.decorate('decodeSecureSession'")),
      es: partly('by the store', esSession('this.req.sessionStore')),
      scs: yes(scsData('func (s *SessionManager) Load(')),
      ts: yes(tsSession('pub fn new(\n        session_id: Option<Id>,')),
      sp: yes(spRedis('public RedisSession findById(String id) {'))
    }),
    row('Begin and end of sessions as events', {
      ours: yes('diagnostics channels, of this process', test('events', 'an end of a session is told with its loggable id and the reason'), test('operations-docs', 'each channel has its row, and each row its channel')),
      pyr: no(pyrLacks('event')),
      web: no(webLacks('event')),
      flk: no(flkLacks('event')),
      pwr: no(pwrLacks('.emit(')),
      con: no(conLacks('.emit(')),
      fs: no(fsLacks('.emit(')),
      fss: no(fssLacks('.emit(')),
      es: no('of the connection to the store only', es("store.on('disconnect'")),
      scs: no(scsLacks('event')),
      ts: no('traces, no events', tsLacks('on_created')),
      sp: yes('across processes, by Redis', spRedis('publishEvent(new SessionCreatedEvent(this, session));'))
    }),
    row('Every process is told of a session that has ended', {
      ours: no('each finds out when it reads, or when its cache is over', test('cache', 'a session that another process destroyed is read for its time at the longest')),
      pyr: no(pyrLacks('event')),
      web: no(webLacks('event')),
      flk: no(flkLacks('event')),
      pwr: no(pwrLacks('.emit(', 'subscribe')),
      con: no(conLacks('.emit(', 'subscribe')),
      fs: no(fsLacks('.emit(', 'subscribe')),
      fss: inCookie,
      es: no(esLacks('subscribe')),
      scs: no(scsLacks('event', 'ubscribe')),
      ts: no(tsLacks('on_deleted', 'subscribe')),
      sp: yes(spRedis('this.sessionDeletedChannel = "__keyevent@"'), spRedis('publishEvent(new SessionDeletedEvent(this, session));'))
    }),
    row('Calls to the store can be watched, with their cost', {
      ours: yes(test('calls', 'what a call cost, and how it ended, is told to those who listen, and to nobody else')),
      pyr: no(pyrLacks('logging', 'metric')),
      web: no(webLacks('logging', 'metric')),
      flk: no(flkLacks('metric')),
      pwr: partly('debug lines, with ids in them', pwr('Skip touching session=')),
      con: no(conLacks('debug')),
      fs: no(fsLacks('diagnostics_channel', '.log.')),
      fss: partly('debug and trace lines', fss('request.log.debug(')),
      es: partly('debug lines', es("debug('fetching %s', req.sessionID)")),
      scs: no(scsLacks('metric', 'trace')),
      ts: partly('spans, without cost', tsSession('#[tracing::instrument(skip(self), err)]')),
      sp: unknown(spLacks('Observation', 'MeterRegistry'))
    }),
    row('WebSockets', {
      ours: yes(test('sockets', 'what is changed and saved in a socket is stored when save() resolves, and the next request sees it')),
      pyr: no(pyrLacks('websocket')),
      web: byApplication,
      flk: no(flkLacks('websocket')),
      ...byHost,
      fs: partly('what is changed is lost without a word, unless save() is called', measured(SOCKETS)),
      fss: partly('what is changed is lost without a word', measured(SOCKETS)),
      es: partly('where the application runs it for the upgrade, and calls save()', esSession("defineMethod(Session.prototype, 'save', function save(fn) {")),
      scs: partly('Load() and Commit() by hand', scsData('func (s *SessionManager) Commit(')),
      ts: partly('what is changed is stored by save()', tsSession('pub async fn save(&self)')),
      sp: yes('sockets of an ended session are closed', spSocket('closeWsSessions(e.getSessionId());'))
    }),
    row('The token in a header, for clients without cookies', {
      ours: option('header', test('plugin', 'by header: the token travels in a header both ways, with its companion, and no cookie')),
      pyr: no(pyr('request.cookies.get(self.cookie_name)')),
      web: byApplication,
      flk: option('SESSION_DYNAMODB_USE_HEADER', flk("app.config.get('SESSION_DYNAMODB_USE_HEADER', False)")),
      ...byHost,
      fs: no(fsLacks('headers[')),
      fss: no(fssLacks('headers')),
      es: no(es('var header = req.headers.cookie;')),
      scs: partly('Load() and Commit() by hand', scsData('Most applications will use the LoadAndSave() middleware')),
      ts: no(tsService('cookie_controller.get(&cookies, &session_config.name)')),
      sp: option('HeaderHttpSessionIdResolver', spHeader('public class HeaderHttpSessionIdResolver implements HttpSessionIdResolver {'))
    }),
    row('Several sessions in one application', {
      ours: yes(test('start', 'a second registration has a session, a manager and a cookie of its own')),
      pyr: unknown('Pyramid has one factory for all requests', pyr('@implementer(ISessionFactory)')),
      web: yes('a manager each', web('class SessionManager(Generic[T]):')),
      flk: no("Flask's one session interface", flk('class DynamoDbSession(SessionInterface):')),
      ...byHost,
      fs: partly('one in each encapsulated part', fs("fastify.decorate('decryptSession'"), fs("fastify.decorateRequest('session', null)")),
      fss: yes(fss('for (const sessionOptions of options) {')),
      es: no('the second one finds a session and does nothing', es('if (req.session) {\n      next()')),
      scs: yes(scsSession('your application uses two different sessions')),
      ts: unknown('a layer puts its session where the next one does', tsService('req.extensions_mut().insert(session.clone());')),
      sp: unknown(spFilter('SESSION_REPOSITORY_ATTR'))
    }),
    row('Tests get a visitor who is signed in, without a store', {
      ours: yes(test('sign-in', 'a visitor who is signed in as a user is on the list of that user, and ended with it'), test('sign-in', 'in memory')),
      pyr: no(pyrLacks('testing', 'memory')),
      web: no(webLacks('testing', 'memory')),
      flk: yes('TestSession', flkTesting('class TestSession(SessionInterface):')),
      ...byHost,
      fs: partly('a store in memory', fs('options.store || new Store()')),
      fss: yes('createSecureSession() and encodeSecureSession()', fss("fastify.decorate('createSecureSession'")),
      es: partly('a store in memory', es('opts.store || new MemoryStore()')),
      scs: partly('a store in memory', scsSession('memstore.New()')),
      ts: partly('a store in memory', tsSession('Arc::new(MemoryStore::default())')),
      sp: partly('sessions in a map', spMap('public final class MapSession implements Session'))
    })
  ]
}

const COOKIES: Theme = {
  title: 'The cookie',
  rows: [
    row('Secure unless told otherwise', {
      ours: yes(test('cookie', 'a cookie is Secure as it is set, and with "auto" where the request came by HTTPS')),
      pyr: partly('where the request came by https', pyr("secure = request.scheme == 'https'")),
      web: byApplication,
      flk: yes(flk('DEFAULT_COOKIE_SECURE = True')),
      ...byHost,
      fs: yes('and over http nothing is saved, without a word', fs("option(opts.cookie, 'secure', true)"), beside('a log-in that looks like plain http')),
      fss: no(measured(SECURE)),
      es: no(es("if (cookieOptions.secure === 'auto') {")),
      scs: no(scsSession('Secure:      false,')),
      ts: yes(tsService('secure: true,')),
      sp: partly('where the request came by https', spCookie('return request.isSecure();'))
    }),
    row('SameSite unless told otherwise', {
      ours: yes('Lax', beside('the headers of a log-in')),
      pyr: yes('Strict', pyr("samesite='Strict'")),
      web: byApplication,
      flk: yes('Strict', flk("DEFAULT_COOKIE_SAMESITE = 'Strict'")),
      ...byHost,
      fs: no(measured(ATTRIBUTES), beside('the headers of a log-in')),
      fss: yes('Lax', measured(SECURE)),
      es: no(measured(ATTRIBUTES)),
      scs: yes('Lax', scsSession('SameSite:    http.SameSiteLaxMode')),
      ts: yes('Strict', tsService('same_site: SameSite::Strict')),
      sp: yes('Lax', spCookie('private @Nullable String sameSite = "Lax";'))
    }),
    row('__Host- by default, and its rules held at the start', {
      ours: yes(test('cookie', 'the default name has the strictest prefix whose rules hold'), test('cookie', 'a prefix is held to its rules, without regard to case')),
      pyr: no(pyrLacks('__Host')),
      web: byApplication,
      flk: no(flkLacks('__Host')),
      ...byHost,
      fs: no(fsLacks('__Host')),
      fss: no('its README says how', fssLacks('__Host')),
      es: no(esLacks('__Host')),
      scs: no(scsLacks('__Host')),
      ts: no(tsLacks('__Host')),
      sp: unknown(spLacks('__Host'))
    }),
    row('A read sends no Set-Cookie', {
      ours: yes(beside('20 reads of a visitor who is signed in, five seconds apart')),
      pyr: yes('but once in reissue_time', pyr('elif not session.new and (')),
      web: byApplication,
      flk: no(flk('self._save_cookie(session_instance, app, response)')),
      ...byHost,
      fs: option('rolling: false', measured(READS)),
      fss: yes(measured(SECURE)),
      es: yes('unless rolling is set', measured(READS)),
      scs: partly('not with IdleTimeout', scsData('if s.IdleTimeout > 0 {\n\t\tsd.status = Modified')),
      ts: yes('unless always_save is set', tsService('(modified || session_config.always_save)')),
      sp: yes(spFilter('if (!isRequestedSessionIdValid()'))
    }),
    row('A log-out clears the cookie', {
      ours: yes(beside('a log-out and the cookie'), test('cookie', 'a cookie is set and cleared with the same attributes')),
      pyr: no(pyrLacks('delete_cookie')),
      web: byApplication,
      flk: partly('without the attributes it was set with', flk('response.delete_cookie(name, domain=domain, path=path)')),
      ...byHost,
      fs: no(measured(LEFT), beside('a log-out and the cookie')),
      fss: yes(measured('@fastify/secure-session: a cookie that was copied before the log-out opens after it')),
      es: no(measured(LEFT)),
      scs: yes(scsSession('s.WriteSessionCookie(ctx, w, "", time.Time{})')),
      ts: yes(tsService('cookie_controller.remove(&cookies, cookie);')),
      sp: yes(spResolver('new CookieValue(request, response, "")'))
    }),
    row('Answers with a cookie are kept from caches', {
      ours: yes('no-store, and Vary', test('lifecycle', 'an answer with a token says no-store, unless the handler says no-store or private itself'), test('lifecycle', 'an answer that depended on the session, or on a token, varies; others do not')),
      pyr: no(pyrLacks('cache_control', 'vary')),
      web: byApplication,
      flk: no(flkLacks('cache-control', 'vary')),
      ...byHost,
      fs: no(beside('the headers of a log-in')),
      fss: no(fssLacks('cache-control', 'vary')),
      es: no(esLacks('cache-control', 'vary')),
      scs: yes('Vary, and no-cache for the cookie', scsSession('w.Header().Add("Vary", "Cookie")'), scsSession('no-cache="Set-Cookie"')),
      ts: no(tsLacks('cache-control', 'CACHE_CONTROL')),
      sp: unknown(spLacks('Cache-Control'))
    })
  ]
}

const OUTAGES: Theme = {
  title: 'When the store fails',
  rows: [
    row('Visitors without a session are served', {
      ours: yes(beside('the store is down')),
      pyr: yes(pyr('if not cookie_val:\n            return DynamoDBSession.new_session()')),
      web: byApplication,
      flk: yes(flk('if sid is not None:')),
      ...byHost,
      fs: option('saveUninitialized: false', measured(DOWN), beside('the store is down')),
      fss: none('there is no store', fss('fastify.encodeSecureSession(session, sessionName)')),
      es: option('saveUninitialized: false', measured(DOWN)),
      scs: yes(scsData('if token == "" {')),
      ts: yes(tsSession('tracing::trace!("session id not found");')),
      sp: yes(spFilter('getRequestedSession()'))
    }),
    row('Who is signed in is served where no session is used', {
      ours: option('session: false for the route', beside('the store is down')),
      pyr: yes('a session is read when it is first used', pyr('def __call__(self, request):')),
      web: byApplication,
      flk: no('each request reads', flk('def open_session(self, app: Flask, request: Request)')),
      ...byHost,
      fs: no(measured(DOWN), beside('the store is down')),
      fss: none('there is no store', fss('fastify.encodeSecureSession(session, sessionName)')),
      es: no('routes mounted before it are', measured(DOWN)),
      scs: no('routes that are not wrapped are', scsSession('ctx, err := s.Load(r.Context(), token)')),
      ts: yes('a session is read when it is first used', tsSession('Lazily load the record since `None` here indicates we have no yet loaded it.')),
      sp: yes('a session is read when it is first used', spFilter('public HttpSessionWrapper getSession(boolean create) {'))
    }),
    row('The answer is 503 with Retry-After, and nobody is logged out', {
      ours: yes('or anonymous, with readFailure', beside('the store is down'), test('lifecycle', 'a read that fails answers 503, leaves the cookie alone, and does not run the handler')),
      pyr: partly('the exception of the SDK; the cookie stays', pyrLacks('503', 'ClientError')),
      web: byApplication,
      flk: partly('the exception of the SDK; the cookie stays', flk('except SessionError as exc:'), flkLacks('503', 'ClientError')),
      ...byHost,
      fs: partly('500; the cookie stays', measured(DOWN), beside('the store is down')),
      fss: none('there is no store', fss('fastify.encodeSecureSession(session, sessionName)')),
      es: partly('500; the cookie stays', measured(DOWN)),
      scs: partly('500, or what ErrorFunc answers', scsSession('ErrorFunc func(http.ResponseWriter, *http.Request, error)')),
      ts: partly('an error for the handler; a save that fails is 500', tsSession('If the session has not been hydrated and loading from the store fails,'), tsService('*res.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;')),
      sp: unknown(spLacks('503', 'Retry-After'))
    }),
    row('Calls have a time limit of their own', {
      ours: yes(test('calls', 'a call that takes too long ends at its deadline')),
      pyr: no("the SDK's", pyrLacks('botocore')),
      web: no("the SDK's", webLacks('botocore')),
      flk: no("the SDK's", flkLacks('botocore')),
      pwr: no('those of the client', pwrLacks('AbortSignal', 'requestTimeout')),
      con: no('those of the client', conLacks('AbortSignal', 'requestTimeout')),
      fs: no(fsLacks('AbortSignal', 'setTimeout')),
      fss: none('there is no store', fss('fastify.encodeSecureSession(session, sessionName)')),
      es: no(esLacks('AbortSignal', 'setTimeout')),
      scs: partly('by the context of the request', scsData('FindCtx(context.Context, string) ([]byte, bool, error)')),
      ts: no(tsLacks('timeout(')),
      sp: unknown(spLacks('setTimeout', 'withTimeout'))
    }),
    row('Reads are shared, batched or cached', {
      ours: yes(test('batching', 'twenty sessions that are read in one turn are one BatchGetItem, and each visitor has their own'), test('cache', 'what was read is used again until its time is over, to the millisecond')),
      pyr: no(pyrLacks('cache')),
      web: no(webLacks('cache')),
      flk: no(flkLacks('cache')),
      pwr: no(pwrLacks('cache')),
      con: no(conLacks('cache')),
      fs: no('each request reads', fs('sessionStore.get(decryptedSessionId, (err, session) => {')),
      fss: none('there is no store', fss('fastify.encodeSecureSession(session, sessionName)')),
      es: no('each request reads', es('store.get(req.sessionID, function(err, sess){')),
      scs: no(scsLacks('cache(', 'singleflight')),
      ts: option('CachingSessionStore', tsStore('pub struct CachingSessionStore<Cache: SessionStore, Store: SessionStore> {')),
      sp: unknown(spLacks('@Cacheable', 'CacheManager'))
    })
  ]
}

export const BEHAVIOUR_THEMES: readonly Theme[] = [MEETING, USERS, COOKIES, OUTAGES]
