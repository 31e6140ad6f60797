// @atproto/oauth-client-node as applications use it: a program on this machine, and a confidential web client.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Agent } from '@atproto/api'
import { JoseKey, NodeOAuthClient, atprotoLoopbackClientMetadata } from '@atproto/oauth-client-node'
import { newAccount, password, plcUrl, post, url } from './harness.mjs'

const store = () => {
  const map = new Map()
  return { get: async (key) => map.get(key), set: async (key, value) => void map.set(key, value), del: async (key) => void map.delete(key) }
}

/** The unchanged client, for a server that is reached by http on this machine. */
const newClient = (options, service = url, plc = plcUrl) =>
  new NodeOAuthClient({
    allowHttp: true,
    plcDirectoryUrl: plc,
    handleResolver: service,
    stateStore: store(),
    sessionStore: store(),
    requestLock: (name, run) => run(),
    ...options,
  })

/** A field of a form, as the page has it. */
const field = (page, name) => page.match(new RegExp(`name="${name}" value="([^"]*)"`))[1].replaceAll('&#38;', '&')

/** What a person does in a browser: signs in, and allows or not. Answers where the browser is sent. */
async function sentTo(page, identifier, answer = 'allow', service = url) {
  let cookie = ''
  const go = async (address, init = {}) => {
    const headers = { cookie, ...(init.method ? { origin: service, 'content-type': 'application/x-www-form-urlencoded' } : {}) }
    const response = await fetch(address, { redirect: 'manual', ...init, headers })
    for (const set of response.headers.getSetCookie()) cookie = set.split(';')[0]
    return response
  }
  const submit = (text, more) => {
    const form = new URLSearchParams(more)
    for (const name of ['client_id', 'request_uri', 'token']) form.set(name, field(text, name))
    return go(service + text.match(/action="([^"]*)"/)[1], { method: 'POST', body: form.toString() })
  }
  let response = await go(page)
  assert.equal(response.status, 200)
  response = await submit(await response.text(), { action: 'sign-in', identifier, password })
  assert.equal(response.status, 303, await response.clone().text())
  response = await go(new URL(response.headers.get('location'), service))
  response = await submit(await response.text(), { action: answer })
  assert.equal(response.status, 303, await response.clone().text())
  return new URL(response.headers.get('location'))
}

/** The same: the parameters that the client is sent. */
const inBrowser = async (...all) => (await sentTo(...all)).searchParams

/** A client on this machine that may ask for this. */
function loopback(scope) {
  const name = new URLSearchParams({ redirect_uri: 'http://127.0.0.1/callback', scope })
  return newClient({ clientMetadata: atprotoLoopbackClientMetadata(`http://localhost?${name}`) })
}

const scope = 'atproto repo:app.bsky.feed.post blob:image/*'

test('a program on this machine posts with what was granted, and nothing else', async () => {
  const { did, handle } = await newAccount('oauth')
  const client = loopback(scope)
  const page = await client.authorize(handle, { scope })
  const parameters = await inBrowser(page, handle)
  const { session } = await client.callback(parameters)
  assert.equal(session.did, did)
  assert.deepEqual((await session.getTokenInfo()).scope.split(' ').sort(), scope.split(' ').sort())

  const agent = new Agent(session)
  const { uri } = await agent.post({ text: 'by OAuth' })
  assert(uri.startsWith(`at://${did}/app.bsky.feed.post/`))
  await assert.rejects(agent.like(uri, 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'), (error) => {
    assert.deepEqual([error.status, error.error], [403, 'ScopeMissingError'])
    return true
  })
  await assert.rejects(agent.com.atproto.server.createAppPassword({ name: 'more' }), (error) => error.status === 403)

  const before = await session.getTokenInfo(false)
  const restored = await client.restore(did, true)
  assert.notEqual((await restored.getTokenInfo(false)).expiresAt.getTime(), before.expiresAt.getTime())
  await new Agent(restored).post({ text: 'after a refresh' })

  await restored.signOut()
  await assert.rejects(client.restore(did, true))
})

test('the program in docs/oauth.md does what it says', async (t) => {
  const { did, handle } = await newAccount('oauth')
  const docs = readFileSync(new URL('../../docs/oauth.md', import.meta.url), 'utf8')
  // Beside the packages that it is told to install.
  const file = new URL(`./login-${process.pid}.mjs`, import.meta.url)
  writeFileSync(file, docs.match(/```js\n(.*?)```/s)[1])
  t.after(() => rmSync(file))
  const program = spawn(process.execPath, [fileURLToPath(file), handle], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => program.kill())
  let said = ''
  let open
  for await (const part of program.stdout) {
    said += part
    if (open) continue
    open = said.match(/Open (\S+)\n/)?.[1]
    if (open) await fetch(await sentTo(open, handle))
  }
  assert.match(said, new RegExp(`Wrote at://${did}/com.example.note/`))
})

test('a permission set opens what it lists of the vault', async () => {
  const { did: service } = await (await fetch(`${url}/xrpc/com.atproto.server.describeServer`)).json()
  const { handle } = await newAccount('oauth')
  const aud = encodeURIComponent(`${service}#atproto_pds`)
  const asked = `atproto include:agent.memory.read?aud=${aud}`
  const client = loopback(asked)
  const { session } = await client.callback(await inBrowser(await client.authorize(handle, { scope: asked }), handle))
  const { scope: granted } = await session.getTokenInfo()
  assert(granted.includes('agent.memory.recall') && !granted.includes('include:'), granted)
  const listed = await session.fetchHandler('/xrpc/agent.memory.list')
  assert.deepEqual([listed.status, (await listed.json()).memories], [200, []])
  const forget = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ uris: ['at://x'] }) }
  const refused = await session.fetchHandler('/xrpc/agent.memory.forget', forget)
  assert.deepEqual([refused.status, (await refused.json()).error], [403, 'ScopeMissingError'])

  // Nobody publishes this one: a name that is kept for what is never there.
  const nowhere = 'atproto include:invalid.nowhere.authFull'
  await assert.rejects(loopback(nowhere).authorize(handle, { scope: nowhere }), (error) => error.error === 'invalid_scope')
})

test('who says no is heard', async () => {
  const { handle } = await newAccount('oauth')
  const client = loopback('atproto')
  const parameters = await inBrowser(await client.authorize(handle, { scope: 'atproto' }), handle, 'deny')
  await assert.rejects(client.callback(parameters), (error) => error.params.get('error') === 'access_denied')
})

test('a code that is used again ends what it began', async () => {
  const { did, handle } = await newAccount('oauth')
  // A state that can be used twice, as a thief would have it.
  const states = store()
  const client = loopback(scope)
  const thief = newClient({ clientMetadata: client.clientMetadata, stateStore: { ...states, del: async () => {} } })
  const parameters = await inBrowser(await thief.authorize(handle, { scope }), handle)
  const { session } = await thief.callback(parameters)
  await new Agent(session).post({ text: 'once' })
  await assert.rejects(thief.callback(parameters))
  await assert.rejects(thief.restore(did, true))
})

// A server of its own, which trusts the certificate of the client's: only the native one can be told to.
const binary = process.env.ZAP_BINARY

test('a confidential web client shows who it is', { skip: !binary && 'no binary to start' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zap-oauth-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = (name) => join(folder, name)
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-keyout', file('key.pem'), '-out', file('cert.pem'), '-subj', '/CN=app.localhost'],
    ...['-addext', 'subjectAltName=DNS:app.localhost', '-addext', 'basicConstraints=critical,CA:FALSE'],
  ], { stdio: 'pipe' })
  const freePort = () => new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
  const [port, plcPort] = [await freePort(), await freePort()]
  const [service, plc] = [`http://localhost:${port}`, `http://127.0.0.1:${plcPort}`]
  const server = spawn(binary, [
    ...['serve', '--listen', `127.0.0.1:${port}`, '--public-url', service, '--plc-url', plc, '--plc-listen', `127.0.0.1:${plcPort}`],
    ...['--handle-domain', '.test', '--allow-loopback=true', '--data', file('data'), '--log', 'warn'],
  ], { env: { ...process.env, SSL_CERT_FILE: file('cert.pem') }, stdio: 'inherit' })
  t.after(() => server.kill())
  for (let tries = 0; ; tries++) {
    const health = await fetch(`${service}/xrpc/_health`).catch(() => undefined)
    if (health?.ok) break
    assert(tries < 200, 'the server does not come up')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }

  const documents = new Map()
  const web = https.createServer({ key: readFileSync(file('key.pem')), cert: readFileSync(file('cert.pem')) }, (request, response) => {
    const document = documents.get(request.url)
    response.writeHead(document ? 200 : 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document ?? {}))
  })
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve))
  t.after(() => web.close())
  const origin = `https://app.localhost:${web.address().port}`
  const key = await JoseKey.generate(['ES256'], 'first')
  const client = newClient({
    keyset: [key],
    clientMetadata: {
      client_id: `${origin}/client.json`,
      client_name: 'A web application',
      client_uri: origin,
      redirect_uris: ['https://app.example.com/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      scope: 'atproto transition:generic',
      application_type: 'web',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      dpop_bound_access_tokens: true,
      jwks_uri: `${origin}/keys.json`,
    },
  }, service, plc)
  documents.set('/client.json', client.clientMetadata).set('/keys.json', client.jwks)

  const made = await fetch(`${service}/xrpc/com.atproto.server.createAccount`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ handle: 'alice.test', email: 'alice@example.com', password }),
  })
  const { did } = await made.json()
  const page = await client.authorize('alice.test', { scope: 'atproto transition:generic' })
  const { session } = await client.callback(await inBrowser(page, 'alice.test', 'allow', service))
  assert.equal(session.did, did)
  const record = { repo: did, collection: 'app.bsky.feed.post', record: post('from the web') }
  await new Agent(session).com.atproto.repo.createRecord(record)
  await client.restore(did, true)
  await (await client.restore(did, true)).signOut()

  // Another key is another client, whatever it calls itself.
  const forger = newClient({ keyset: [await JoseKey.generate(['ES256'], 'first')], clientMetadata: client.clientMetadata }, service, plc)
  await assert.rejects(forger.authorize('alice.test', { scope: 'atproto' }))
})
