// What happens to accounts and records, one thing after another, with its refusals.

import { bearer, noCid, nobody, password } from './world.mjs'
import { life } from './life.mjs'

const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const post = 'app.bsky.feed.post'
const record = (text, more = {}) => ({ $type: post, text, createdAt: '2026-01-01T00:00:00.000Z', ...more })
const server = (name) => `com.atproto.server.${name}`
const repo = (name) => `com.atproto.repo.${name}`
const sync = (name) => `com.atproto.sync.${name}`

/** Who the calls are made by, and what they have. */
export async function prepare(w) {
  for (const name of ['alice', 'bob', 'victim']) w[name] = await w.account(name)
  const { alice } = w
  w.blob = (await w.must(repo('uploadBlob'), { auth: alice.access, body: png, type: 'image/png' })).blob
  const embed = { $type: 'app.bsky.embed.images', images: [{ alt: 'a dot', image: w.blob }] }
  const body = { repo: alice.did, collection: post, record: record('a picture', { embed }) }
  w.post = await w.must(repo('createRecord'), { auth: alice.access, body })
}

async function records(w) {
  const eve = await w.account('eve')
  const auth = eve.access
  const ask = (id, name, body) => w.ask(id, repo(name), { auth, body: { repo: eve.did, ...body } })
  const profile = { collection: 'app.bsky.actor.profile', rkey: 'self' }
  const named = (displayName) => ({ $type: 'app.bsky.actor.profile', displayName })
  const first = await ask('a new one', 'putRecord', { ...profile, record: named('one'), swapRecord: null })
  await ask('the same again', 'putRecord', { ...profile, record: named('one') })
  const swap = { swapRecord: first.json.cid, swapCommit: first.json.commit.cid }
  await ask('an update', 'putRecord', { ...profile, record: named('two'), ...swap })
  await ask('another was there', 'putRecord', { ...profile, record: named('three'), swapRecord: swap.swapRecord })
  await ask('there is one already', 'putRecord', { ...profile, record: named('three'), swapRecord: null })
  await ask('another commit', 'putRecord', { ...profile, record: named('three'), swapCommit: swap.swapCommit })
  await ask('another was there', 'deleteRecord', { ...profile, swapRecord: swap.swapRecord })
  await ask('another commit', 'deleteRecord', { ...profile, swapCommit: swap.swapCommit })
  await ask('none there, with a swap', 'deleteRecord', { ...profile, rkey: 'none', swapRecord: swap.swapRecord })
  await ask('another commit', 'createRecord', { collection: post, record: record('late'), swapCommit: swap.swapCommit })
  await ask('a key that is taken', 'createRecord', { ...profile, record: named('four') })
  await ask('a key of another form than the lexicon has', 'createRecord', { ...profile, rkey: 'other', record: named('four') })
  await ask('a key that is not a tid', 'createRecord', { collection: post, rkey: 'mine', record: record('hello') })
  await ask('one of unknown form', 'createRecord', { collection: 'com.example.thing', record: { any: true } })
  await ask('one of unknown form, to be checked', 'createRecord', { collection: 'com.example.thing', record: { any: true }, validate: true })
  await ask('one that is not checked', 'createRecord', { collection: post, record: { $type: post }, validate: false })
  await ask('one that is wrong', 'createRecord', { collection: post, record: { $type: post, text: 'no date' } })
  await ask('one of another type', 'createRecord', { collection: post, record: record('a', { $type: 'app.bsky.feed.like' }) })
  await ask('one without its type', 'createRecord', { collection: post, record: { text: 'a', createdAt: '2026-01-01T00:00:00.000Z' } })
  await ask('one with a number that is not whole', 'createRecord', { collection: 'com.example.thing', record: { half: 0.5 } })
  await ask('one with a link that is none', 'createRecord', { collection: 'com.example.thing', record: { link: { $link: 'no cid' } } })
  await ask('one with a blob that is not there', 'createRecord', {
    collection: post,
    record: record('a', { embed: { $type: 'app.bsky.embed.images', images: [{ alt: '', image: { ...w.blob, ref: { $link: noCid.replace('bafyrei', 'bafkrei') } } }] } }),
  })
  await ask('one with a text that is too long', 'createRecord', { collection: post, record: record('a'.repeat(3001)) })
  await ask('one that is too large', 'createRecord', { collection: 'com.example.thing', record: { text: 'a'.repeat(1_100_000) } })
  for (const [who, of] of Object.entries({ another: w.bob.did, nobody })) {
    await ask(`in the repo of ${who}`, 'createRecord', { repo: of, collection: post, record: record('forged') })
    await ask(`in the repo of ${who}`, 'deleteRecord', { repo: of, collection: post, rkey: 'a' })
  }

  const op = (kind, more) => ({ $type: `com.atproto.repo.applyWrites#${kind}`, collection: post, ...more })
  const keys = ['3jzfcijpj2z2a', '3jzfcijpj2z2b']
  await ask('some', 'applyWrites', { writes: keys.map((rkey) => op('create', { rkey, value: record(rkey) })) })
  await ask('each kind', 'applyWrites', { writes: [op('update', { rkey: keys[0], value: record('new') }), op('delete', { rkey: keys[1] }), op('create', { value: record('x') })] })
  await ask('none', 'applyWrites', { writes: [] })
  await ask('an update of what is not there', 'applyWrites', { writes: [op('update', { rkey: 'none', value: record('new') })] })
  await ask('a deletion of what is not there', 'applyWrites', { writes: [op('delete', { rkey: 'none' })] })
  await ask('a creation of what is there', 'applyWrites', { writes: [op('create', { rkey: keys[0], value: record('x') })] })
  await ask('one of no kind', 'applyWrites', { writes: [{ ...op('create'), $type: 'com.example.write' }] })
  await ask('one without a kind', 'applyWrites', { writes: [{ collection: post, value: record('x') }] })
  await ask('too many', 'applyWrites', { writes: Array.from({ length: 201 }, () => op('create', { value: record('x') })) })
  await ask('another commit', 'applyWrites', { writes: [op('create', { value: record('x') })], swapCommit: swap.swapCommit })

  await w.ask('one of unknown form', repo('getRecord'), { params: { repo: eve.did, ...profile } })
  await w.ask('a version that is not there', repo('getRecord'), { params: { repo: eve.did, ...profile, cid: swap.swapRecord } })
  await w.ask('a page', repo('listRecords'), { params: { repo: eve.handle, collection: post, limit: 1 } })
  await w.ask('the last page', repo('listRecords'), { params: { repo: eve.did, collection: post, cursor: '2222222222222' } })
  await w.ask('none', repo('listRecords'), { params: { repo: eve.did, collection: 'com.example.none' } })
  await w.ask('what is missing', repo('listMissingBlobs'), { auth })

  await w.ask('a picture', repo('uploadBlob'), { auth, body: png, type: 'image/png' })
  await w.ask('a picture that is called text', repo('uploadBlob'), { auth, body: png, type: 'text/plain' })
  await w.ask('without a type', repo('uploadBlob'), { auth, body: png, type: '' })
  await w.ask('of any type', repo('uploadBlob'), { auth, body: 'words', type: '*/*' })
  await w.ask('nothing', repo('uploadBlob'), { auth, body: '', type: 'text/plain' })
  await w.ask('by nobody', repo('uploadBlob'), { body: png, type: 'image/png' })
  await w.ask('JSON', repo('uploadBlob'), { auth, body: {} })
}

async function sessions(w) {
  const { alice } = w
  const log = (id, identifier, secret = password, more = {}) => w.ask(id, server('createSession'), { body: { identifier, password: secret, ...more } })
  await log('by DID', alice.did)
  await log('by e-mail address', alice.email)
  await log('by a handle in capitals', alice.handle.toUpperCase())
  await log('a wrong password', alice.handle, 'wrong')
  await log('nobody', 'nobody-here.test')
  const made = await w.ask('of full rights', server('createAppPassword'), { auth: alice.access, body: { name: 'privileged', privileged: true } })
  await w.ask('a name that is taken', server('createAppPassword'), { auth: alice.access, body: { name: 'privileged' } })
  await w.ask('an empty name', server('createAppPassword'), { auth: alice.access, body: { name: '' } })
  const plain = await w.must(server('createAppPassword'), { auth: alice.access, body: { name: 'plain' } })
  await log('an app password', alice.handle, made.json.password)
  const app = (await log('a plain app password', alice.handle, plain.password)).json
  const auth = bearer(app.accessJwt)
  await w.ask('by an app', server('getSession'), { auth })
  for (const name of ['listAppPasswords', 'getAccountInviteCodes', 'checkAccountStatus']) await w.ask('by an app', server(name), { auth })
  for (const name of ['requestAccountDelete', 'requestEmailUpdate', 'activateAccount']) await w.ask('by an app', server(name), { auth, verb: 'POST' })
  await w.ask('by an app', server('createAppPassword'), { auth, body: { name: 'more' } })
  await w.ask('by an app', server('revokeAppPassword'), { auth, body: { name: 'plain' } })
  await w.ask('by an app', server('deactivateAccount'), { auth, body: {} })
  await w.ask('by an app', 'com.atproto.identity.updateHandle', { auth, body: { handle: alice.handle } })
  await w.ask('by an app', 'com.atproto.identity.getRecommendedDidCredentials', { auth })
  await w.ask('by an app', 'app.bsky.actor.getPreferences', { auth })
  const service = (id, params, header = alice.access) => w.ask(id, server('getServiceAuth'), { auth: header, params: { aud: 'did:web:service.example.com', ...params } })
  const now = Math.floor(Date.now() / 1000)
  await service('of the past', { exp: now - 60 })
  await service('of tomorrow', { exp: now + 86_400 })
  await service('of an hour', { exp: now + 3500, lxm: 'com.example.method' })
  await service('of two minutes, for all methods', { exp: now + 120 })
  await service('for all methods', {})
  await service('for a method that is kept back', { lxm: 'com.atproto.server.createAppPassword' })
  await service('for chat, by an app', { lxm: 'chat.bsky.convo.listConvos' }, auth)
  await service('to move, by an app', { lxm: 'com.atproto.server.createAccount' }, auth)
  await service('for a part of a service', { aud: 'did:web:service.example.com#part', lxm: 'com.example.method' })
  await w.ask('the name', server('revokeAppPassword'), { auth: alice.access, body: { name: 'plain' } })
  await w.ask('of a revoked app', server('refreshSession'), { auth: bearer(app.refreshJwt), verb: 'POST' })

  const session = (await log('one more', alice.handle)).json
  const next = (await w.ask('a first time', server('refreshSession'), { auth: bearer(session.refreshJwt), verb: 'POST' })).json
  await w.ask('with an input', server('refreshSession'), { auth: bearer(next.refreshJwt), body: {} })
  await w.ask('by its token', server('deleteSession'), { auth: bearer(next.refreshJwt), verb: 'POST' })
  await w.ask('a second time', server('deleteSession'), { auth: bearer(next.refreshJwt), verb: 'POST' })
  await w.ask('of a session that is over', server('refreshSession'), { auth: bearer(next.refreshJwt), verb: 'POST' })
  await w.ask('of a session that is over', server('getSession'), { auth: bearer(next.accessJwt) })
}

async function downloads(w) {
  const { alice } = w
  await w.ask('with a rev to begin after', sync('getRepo'), { params: { did: alice.did, since: w.post.commit.rev } })
  await w.ask('with a rev that is none', sync('getRepo'), { params: { did: alice.did, since: 'no rev' } })
  await w.ask('a page', sync('listRepos'), { params: { limit: 1 } })
  await w.ask('a page', sync('listBlobs'), { params: { did: alice.did, limit: 1 } })
  await w.ask('since a rev', sync('listBlobs'), { params: { did: alice.did, since: w.post.commit.rev } })
  await w.ask('a record that is not there', sync('getRecord'), { params: { did: alice.did, collection: post, rkey: '3jzfcijpj2z2z' } })
  await w.ask('one that is not there', sync('getBlob'), { params: { did: alice.did, cid: noCid.replace('bafyrei', 'bafkrei') } })
  await w.ask('none', sync('getBlocks'), { params: { did: alice.did } })
  await w.ask('one that is not there', sync('getBlocks'), { params: { did: alice.did, cids: [w.post.cid, noCid] } })
  await w.ask('without an upgrade', sync('subscribeRepos'))
}

export async function stories(w) {
  for (const story of [records, sessions, downloads, ...life]) {
    await w.fresh(w.alice)
    await w.fresh(w.bob)
    await story(w)
  }
}
