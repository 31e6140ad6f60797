// Each method that both servers have: who may call it, and with what it succeeds. Those of `changes` are not called with
// what is good while bad inputs are tried; `by` is another account than alice's, where a bad input that is taken would leave
// her changed.

import { nobody, password } from './world.mjs'

const post = 'app.bsky.feed.post'
const record = { $type: post, text: 'hello', createdAt: '2026-01-01T00:00:00.000Z' }

/** What each method takes, of a world: `auth` is what opens it, `params` or `input` what it takes. */
export const METHODS = {
  'com.atproto.server.describeServer': {},
  'com.atproto.server.createAccount': {
    input: (w) => {
      const handle = w.newHandle('made')
      return { handle, email: `${handle.split('.')[0]}@example.com`, password }
    },
    changes: true,
  },
  'com.atproto.server.createSession': { input: (w) => ({ identifier: w.alice.handle, password }) },
  'com.atproto.server.getSession': { auth: 'access' },
  'com.atproto.server.refreshSession': { auth: 'refresh', verb: 'POST', changes: true },
  'com.atproto.server.deleteSession': { auth: 'refresh', verb: 'POST', changes: true },
  'com.atproto.server.createAppPassword': { auth: 'access', input: (w) => ({ name: `app ${w.next()}` }) },
  'com.atproto.server.listAppPasswords': { auth: 'access' },
  'com.atproto.server.revokeAppPassword': { auth: 'access', input: () => ({ name: 'none of these' }) },
  'com.atproto.server.createInviteCode': { auth: 'admin', input: () => ({ useCount: 1 }) },
  'com.atproto.server.createInviteCodes': { auth: 'admin', input: () => ({ codeCount: 1, useCount: 1 }) },
  'com.atproto.server.getAccountInviteCodes': { auth: 'access' },
  'com.atproto.server.getServiceAuth': {
    auth: 'access',
    params: () => ({ aud: 'did:web:service.example.com', lxm: 'com.example.method' }),
  },
  'com.atproto.server.reserveSigningKey': { input: () => ({ did: nobody }) },
  'com.atproto.server.checkAccountStatus': { auth: 'access' },
  'com.atproto.server.activateAccount': { auth: 'access', by: 'victim', verb: 'POST', changes: true },
  'com.atproto.server.deactivateAccount': { auth: 'access', by: 'victim', input: () => ({}), changes: true },
  'com.atproto.server.requestAccountDelete': { auth: 'access', verb: 'POST', changes: true },
  'com.atproto.server.deleteAccount': {
    input: (w) => ({ did: w.bob.did, password, token: 'ABCDE-FGHIJ' }),
  },
  'com.atproto.server.requestEmailConfirmation': { auth: 'access', verb: 'POST', changes: true },
  'com.atproto.server.confirmEmail': { auth: 'access', input: (w) => ({ email: w.alice.email, token: 'ABCDE-FGHIJ' }) },
  'com.atproto.server.requestEmailUpdate': { auth: 'access', verb: 'POST', changes: true },
  'com.atproto.server.updateEmail': { auth: 'access', by: 'victim', input: () => ({ email: 'new@example.com', token: 'ABCDE-FGHIJ' }), changes: true },
  'com.atproto.server.requestPasswordReset': { input: () => ({ email: 'nobody@example.com' }) },
  'com.atproto.server.resetPassword': { input: () => ({ token: 'ABCDE-FGHIJ', password: 'another one' }) },

  'com.atproto.repo.createRecord': { auth: 'access', input: (w) => ({ repo: w.alice.did, collection: post, record }) },
  'com.atproto.repo.putRecord': { auth: 'access', input: (w) => ({ repo: w.alice.did, collection: post, rkey: '3jzfcijpj2z2a', record }) },
  'com.atproto.repo.deleteRecord': { auth: 'access', input: (w) => ({ repo: w.alice.did, collection: post, rkey: '3jzfcijpj2z2b' }) },
  'com.atproto.repo.applyWrites': {
    auth: 'access',
    input: (w) => ({ repo: w.alice.did, writes: [{ $type: 'com.atproto.repo.applyWrites#create', collection: post, value: record }] }),
  },
  'com.atproto.repo.getRecord': { params: (w) => ({ repo: w.alice.did, collection: post, rkey: w.post.uri.split('/').at(-1) }) },
  'com.atproto.repo.listRecords': { params: (w) => ({ repo: w.alice.did, collection: post }) },
  'com.atproto.repo.describeRepo': { params: (w) => ({ repo: w.alice.did }) },
  'com.atproto.repo.listMissingBlobs': { auth: 'access', params: () => ({}) },

  'com.atproto.sync.getRepo': { params: (w) => ({ did: w.alice.did }) },
  'com.atproto.sync.getRecord': { params: (w) => ({ did: w.alice.did, collection: post, rkey: w.post.uri.split('/').at(-1) }) },
  'com.atproto.sync.getBlocks': { params: (w) => ({ did: w.alice.did, cids: [w.post.cid] }) },
  'com.atproto.sync.getBlob': { params: (w) => ({ did: w.alice.did, cid: w.blob.ref.$link }) },
  'com.atproto.sync.listBlobs': { params: (w) => ({ did: w.alice.did }) },
  'com.atproto.sync.listRepos': { params: () => ({}) },
  'com.atproto.sync.getRepoStatus': { params: (w) => ({ did: w.alice.did }) },
  'com.atproto.sync.getLatestCommit': { params: (w) => ({ did: w.alice.did }) },
  'com.atproto.sync.getHead': { params: (w) => ({ did: w.alice.did }) },
  'com.atproto.sync.getCheckout': { params: (w) => ({ did: w.alice.did }) },

  'com.atproto.identity.resolveHandle': { params: (w) => ({ handle: w.alice.handle }) },
  'com.atproto.identity.updateHandle': { auth: 'access', input: (w) => ({ handle: w.alice.handle }) },
  'com.atproto.identity.getRecommendedDidCredentials': { auth: 'access' },

  'com.atproto.admin.getAccountInfo': { auth: 'admin', params: (w) => ({ did: w.alice.did }) },
  'com.atproto.admin.getAccountInfos': { auth: 'admin', params: (w) => ({ dids: [w.alice.did, w.bob.did] }) },
  'com.atproto.admin.getInviteCodes': { auth: 'admin', params: () => ({}) },
  'com.atproto.admin.getSubjectStatus': { auth: 'admin', params: (w) => ({ did: w.alice.did }) },
  'com.atproto.admin.updateSubjectStatus': {
    auth: 'admin',
    input: (w) => ({ subject: { $type: 'com.atproto.admin.defs#repoRef', did: w.victim.did }, takedown: { applied: false } }),
  },
  'com.atproto.admin.enableAccountInvites': { auth: 'admin', input: (w) => ({ account: w.victim.did }) },
  'com.atproto.admin.disableAccountInvites': { auth: 'admin', input: (w) => ({ account: w.victim.did }) },
  'com.atproto.admin.disableInviteCodes': { auth: 'admin', input: () => ({ codes: [], accounts: [] }) },
  'com.atproto.admin.sendEmail': {
    auth: 'admin',
    input: (w) => ({ recipientDid: w.victim.did, senderDid: w.alice.did, content: 'words', subject: 'a subject' }),
  },
  'com.atproto.admin.updateAccountEmail': { auth: 'admin', input: (w) => ({ account: w.victim.did, email: w.victim.email }) },
  'com.atproto.admin.updateAccountHandle': { auth: 'admin', input: (w) => ({ did: w.victim.did, handle: w.victim.handle }) },
  'com.atproto.admin.updateAccountPassword': { auth: 'admin', input: (w) => ({ did: w.victim.did, password: 'another one' }) },
  'com.atproto.admin.deleteAccount': { auth: 'admin', input: () => ({ did: nobody }) },

  'com.atproto.temp.checkSignupQueue': { auth: 'access' },
  'app.bsky.actor.getPreferences': { auth: 'access' },
  'app.bsky.actor.putPreferences': {
    auth: 'access',
    input: () => ({ preferences: [{ $type: 'app.bsky.actor.defs#adultContentPref', enabled: false }] }),
  },
}
