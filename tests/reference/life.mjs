// An account from its making to its end, and what the operator does with it.

import { basic, bearer, nobody, password } from './world.mjs'

const server = (name) => `com.atproto.server.${name}`
const admin = (name) => `com.atproto.admin.${name}`
const identity = (name) => `com.atproto.identity.${name}`

async function making(w) {
  const make = (id, more) => {
    const handle = w.newHandle('made')
    return w.ask(id, server('createAccount'), { body: { handle, email: `${handle.split('.')[0]}@example.com`, password, ...more } })
  }
  await make('as it should be', {})
  await make('in capitals', { handle: w.newHandle('Capital') })
  await make('a handle that is taken', { handle: w.alice.handle })
  await make('an address that is taken', { email: w.alice.email })
  await make('an address that is taken, in capitals', { email: w.alice.email.toUpperCase() })
  await make('an address that is none', { email: 'no address' })
  await make('a handle elsewhere', { handle: 'name.example.com' })
  await make('a handle that is too short', { handle: 'ab.test' })
  await make('a handle that is too long', { handle: `${'a'.repeat(40)}.test` })
  await make('a handle of two labels', { handle: 'a.name.test' })
  await make('a handle that is kept back', { handle: 'admin.test' })
  await make('a handle of no domain', { handle: 'name' })
  await make('no address', { email: undefined })
  await make('no password', { password: undefined })
  await make('an empty password', { password: '' })
  await make('a password that is too long', { password: 'a'.repeat(300) })
  await make('an invite code that is none', { inviteCode: 'no-code' })
  await make('a DID without a token', { did: nobody })
  await make('a recovery key that is none', { recoveryKey: 'no key' })
  await make('an operation that is none', { did: nobody, plcOp: {} })
}

async function handles(w) {
  const { alice, bob } = w
  const change = (id, handle) => w.ask(id, identity('updateHandle'), { auth: bob.access, body: { handle } })
  await change('to a new one', w.newHandle('renamed'))
  await change("to another's", alice.handle)
  await change('to one elsewhere', 'name.example.com')
  await change('to one that is too short', 'ab.test')
  await change('to one that is kept back', 'admin.test')
  await change('back', bob.handle)
  const resolve = (id, handle) => w.ask(id, identity('resolveHandle'), { params: { handle } })
  await resolve('in capitals', alice.handle.toUpperCase())
  await resolve('an old one', 'renamed-0.test')
  await resolve('one elsewhere', 'nobody.invalid')
}

/** What comes by mail. */
async function letters(w) {
  const carol = await w.account('carol')
  const auth = carol.access
  const update = (id, email, token) => w.ask(id, server('updateEmail'), { auth, body: { email, token } })
  await w.ask('of a new account', server('requestEmailConfirmation'), { auth, verb: 'POST' })
  const code = await w.mailbox.code(carol.email)
  const confirm = (id, email, token) => w.ask(id, server('confirmEmail'), { auth, body: { email, token } })
  await confirm('a wrong code', carol.email, 'AAAAA-AAAAA')
  await confirm('another address', 'other@example.com', code)
  await confirm('the code', carol.email, code)
  await confirm('the code again', carol.email, code)
  await w.ask('of a confirmed address', server('getSession'), { auth })
  const answer = await w.ask('of a confirmed address', server('requestEmailUpdate'), { auth, verb: 'POST' })
  const change = answer.json.tokenRequired ? await w.mailbox.code(carol.email) : undefined
  await update('without a code', 'new-carol@example.com')
  await update('a wrong code', 'new-carol@example.com', 'AAAAA-AAAAA')
  await update("another's address", w.alice.email, change)
  await update('no address', 'no address', change)
  await update('the code', 'new-carol@example.com', change)
  carol.email = 'new-carol@example.com'

  await w.ask('of an account', server('requestPasswordReset'), { body: { email: carol.email } })
  const reset = await w.mailbox.code(carol.email)
  const set = (id, token, secret) => w.ask(id, server('resetPassword'), { body: { token, password: secret } })
  await set('a wrong code', 'AAAAA-AAAAA', 'another battery')
  await set('the code', reset, 'another battery')
  await set('the code again', reset, 'another battery')
  const log = (id, secret) => w.ask(id, server('createSession'), { body: { identifier: carol.did, password: secret } })
  await log('the password before', password)
  const session = (await log('the new password', 'another battery')).json
  await w.ask('after another password', server('refreshSession'), { auth: carol.refresh, verb: 'POST' })

  await w.ask('of an account', server('requestAccountDelete'), { auth: bearer(session.accessJwt), verb: 'POST' })
  const end = await w.mailbox.code(carol.email)
  const remove = (id, secret, token, did = carol.did) => w.ask(id, server('deleteAccount'), { body: { did, password: secret, token } })
  await remove('a wrong password', 'wrong', end)
  await remove('a wrong code', 'another battery', 'AAAAA-AAAAA')
  await remove('nobody', 'another battery', end, nobody)
  await remove('the code', 'another battery', end)
  await remove('the code again', 'another battery', end)
  await log('of a deleted account', 'another battery')
  await after(w, 'a deleted account', carol, bearer(session.accessJwt))
}

/** What is seen of an account that rests, is taken down or is gone. */
async function after(w, who, { did, handle }, auth) {
  const id = `of ${who}`
  for (const name of ['getRepo', 'getRepoStatus', 'getLatestCommit', 'getHead', 'getCheckout', 'listBlobs']) {
    await w.ask(id, `com.atproto.sync.${name}`, { params: { did } })
  }
  await w.ask(`${id}, by its owner`, 'com.atproto.sync.getLatestCommit', { params: { did }, auth })
  await w.ask(`${id}, by the admin`, 'com.atproto.sync.getLatestCommit', { params: { did }, auth: w.admin })
  await w.ask(id, 'com.atproto.repo.describeRepo', { params: { repo: did } })
  await w.ask(id, 'com.atproto.repo.listRecords', { params: { repo: did, collection: 'app.bsky.feed.post' } })
  await w.ask(id, 'com.atproto.repo.getRecord', { params: { repo: did, collection: 'app.bsky.feed.post', rkey: '3jzfcijpj2z2a' } })
  await w.ask(id, identity('resolveHandle'), { params: { handle } })
  await w.ask(id, server('getSession'), { auth })
  await w.ask(id, server('checkAccountStatus'), { auth })
  await w.ask(id, server('listAppPasswords'), { auth })
  await w.ask(id, 'app.bsky.actor.getPreferences', { auth })
  await w.ask(id, server('getServiceAuth'), { auth, params: { aud: nobody, lxm: 'com.example.method' } })
  const record = { $type: 'app.bsky.feed.post', text: 'late', createdAt: '2026-01-01T00:00:00.000Z' }
  await w.ask(id, 'com.atproto.repo.createRecord', { auth, body: { repo: did, collection: 'app.bsky.feed.post', record } })
  await w.ask(id, 'com.atproto.repo.uploadBlob', { auth, body: 'words', type: 'text/plain' })
  await w.ask(id, admin('getAccountInfo'), { auth: w.admin, params: { did } })
  await w.ask(id, admin('getSubjectStatus'), { auth: w.admin, params: { did } })
}

async function resting(w) {
  const dan = await w.account('dan')
  await w.ask('at once', server('deactivateAccount'), { auth: dan.access, body: { deleteAfter: '2027-01-01T00:00:00.000Z' } })
  await w.ask('again', server('deactivateAccount'), { auth: dan.access, body: {} })
  await after(w, 'a deactivated account', dan, dan.access)
  await w.ask('of a deactivated account', server('createSession'), { body: { identifier: dan.handle, password } })
  await w.ask('of a deactivated account', server('refreshSession'), { auth: dan.refresh, verb: 'POST' })
  await w.ask('of a deactivated account', server('activateAccount'), { auth: dan.access, verb: 'POST' })
  await w.ask('of an active account', server('activateAccount'), { auth: dan.access, verb: 'POST' })
}

async function takedown(w) {
  const fred = await w.account('fred')
  const body = { repo: fred.did, collection: 'app.bsky.feed.post', record: { $type: 'app.bsky.feed.post', text: 'a', createdAt: '2026-01-01T00:00:00.000Z' } }
  const { uri, cid } = await w.must('com.atproto.repo.createRecord', { auth: fred.access, body })
  const repoRef = { $type: 'com.atproto.admin.defs#repoRef', did: fred.did }
  const strongRef = { $type: 'com.atproto.repo.strongRef', uri, cid }
  const blobRef = { $type: 'com.atproto.admin.defs#repoBlobRef', did: w.alice.did, cid: w.blob.ref.$link }
  const status = (id, subject, more) => w.ask(id, admin('updateSubjectStatus'), { auth: w.admin, body: { subject, ...more } })
  const [down, up] = [{ takedown: { applied: true, ref: 'why' } }, { takedown: { applied: false } }]
  await status('a record down', strongRef, down)
  await w.ask('a record that is down', 'com.atproto.repo.getRecord', { params: { repo: fred.did, collection: 'app.bsky.feed.post', rkey: uri.split('/').at(-1) } })
  await w.ask('with one that is down', 'com.atproto.repo.listRecords', { params: { repo: fred.did, collection: 'app.bsky.feed.post' } })
  await w.ask('of a record', admin('getSubjectStatus'), { auth: w.admin, params: { uri } })
  await status('a record up', strongRef, up)
  await w.ask('of a record that is up', admin('getSubjectStatus'), { auth: w.admin, params: { uri } })
  await status('a blob down', blobRef, down)
  await w.ask('that is down', 'com.atproto.sync.getBlob', { params: { did: w.alice.did, cid: blobRef.cid } })
  await w.ask('of a blob', admin('getSubjectStatus'), { auth: w.admin, params: { did: w.alice.did, blob: blobRef.cid } })
  await status('a blob up', blobRef, up)
  await w.ask('of nothing', admin('getSubjectStatus'), { auth: w.admin })
  await status('a subject of no kind', { $type: 'com.example.subject' }, down)
  await status('an account at rest', repoRef, { deactivated: { applied: true } })
  await status('an account at work', repoRef, { deactivated: { applied: false } })
  await status('an account down', repoRef, down)
  await after(w, 'a taken down account', fred, fred.access)
  const log = (id, allowTakendown) => w.ask(id, server('createSession'), { body: { identifier: fred.handle, password, allowTakendown } })
  await log('of a taken down account')
  await log('of a taken down account, if it may be', true)
  await w.ask('of a taken down account', server('refreshSession'), { auth: fred.refresh, verb: 'POST' })
  await status('an account up', repoRef, up)
}

async function operator(w) {
  const gina = await w.account('gina')
  const ask = (id, name, body) => w.ask(id, admin(name), { auth: w.admin, body })
  const other = w.newHandle('other')
  await ask('a new one', 'updateAccountHandle', { did: gina.did, handle: other })
  await ask("another's", 'updateAccountHandle', { did: gina.did, handle: w.alice.handle })
  await ask('one that is kept back', 'updateAccountHandle', { did: gina.did, handle: 'admin.test' })
  await ask('by handle', 'updateAccountEmail', { account: other, email: 'gina-new@example.com' })
  await ask("another's", 'updateAccountEmail', { account: gina.did, email: w.alice.email })
  await w.ask('by an empty password', admin('getAccountInfo'), { auth: basic(''), params: { did: gina.did } })
  const code = await w.must(server('createInviteCode'), { auth: w.admin, body: { useCount: 2, forAccount: gina.did } })
  await w.ask('with one that is for all', server('getAccountInviteCodes'), { auth: gina.access })
  const handle = w.newHandle('invited')
  await w.ask('with an invite code', server('createAccount'), { body: { handle, email: 'invited@example.com', password, inviteCode: code.code } })
  await w.ask('who was invited', admin('getAccountInfo'), { auth: w.admin, params: { did: gina.did } })
  await w.ask('by their use', admin('getInviteCodes'), { auth: w.admin, params: { sort: 'usage', limit: 1 } })
  await w.ask('in no order', admin('getInviteCodes'), { auth: w.admin, params: { sort: 'size' } })
  await ask('one', 'disableInviteCodes', { codes: [code.code] })
  await ask("the admin's", 'disableInviteCodes', { accounts: ['admin'] })
  await w.ask('with a disabled invite code', server('createAccount'), {
    body: { handle: w.newHandle('invited'), email: 'invited2@example.com', password, inviteCode: code.code },
  })
  await w.ask('for accounts', server('createInviteCodes'), { auth: w.admin, body: { codeCount: 2, useCount: 1, forAccounts: [gina.did, w.bob.did] } })
  await w.ask('some who are not there', admin('getAccountInfos'), { auth: w.admin, params: { dids: [gina.did, nobody] } })
  await ask('a new one', 'updateAccountPassword', { did: gina.did, password: 'another battery' })
  await w.ask('after the admin set a password', server('refreshSession'), { auth: gina.refresh, verb: 'POST' })
  await ask('of an account', 'deleteAccount', { did: gina.did })
  await ask('again', 'deleteAccount', { did: gina.did })
  await after(w, 'an account the admin deleted', gina, gina.access)
}

export const life = [making, handles, letters, resting, takedown, operator]
