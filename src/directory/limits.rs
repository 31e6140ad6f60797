//! The limits of accounts, sessions and sign-ups, each with its reason.

/// Documents and handles of other servers' accounts kept in memory: a kilobyte or two each.
pub const IDENTITY_CACHE_ENTRIES_MAX: usize = 10_000;

/// Seconds an access token lives: as the reference server has it. A closed session's last one works that long.
pub const ACCESS_TOKEN_SECONDS: i64 = 2 * 60 * 60;

/// Seconds a refresh token lives unused: as the reference server has it.
pub const REFRESH_TOKEN_SECONDS: i64 = 90 * 24 * 60 * 60;

/// Seconds a used refresh token may be used again, by a client that lost the answer: as the reference server has it.
pub const REFRESH_GRACE_SECONDS: i64 = 2 * 60 * 60;

/// Seconds a service token may live when it names its method: as the reference server has it.
pub const SERVICE_TOKEN_SECONDS_MAX: i64 = 60 * 60;

/// Seconds a service token may live when it is good for any method: as the reference server has it.
pub const SERVICE_TOKEN_ANY_METHOD_SECONDS_MAX: i64 = 60;

/// Seconds a mailed code is good for: as the reference server has it. Counted anew when its mail went, which may be later.
pub const MAIL_CODE_SECONDS: i64 = 15 * 60;

/// Mails with a code for one purpose that an account may ask for in an hour: as the reference server has it.
pub const MAILS_AN_HOUR_MAX: i64 = 5;

/// Mails with a code for one purpose that an account may ask for in a day: as the reference server has it.
pub const MAILS_A_DAY_MAX: i64 = 15;

/// Mails that wait to be sent: what an hour of a small network comes to. A mail is a kilobyte, an operator's up to 150.
pub const MAILS_WAITING_MAX: i64 = 5_000;

/// Of these, those with a code have this many to themselves: whatever else is written keeps nobody from signing up.
pub const CODE_MAILS_WAITING_MAX: i64 = 1_000;

/// Mails given out at once: so many are on their way to the mail server at a time.
pub const MAILS_AT_ONCE: usize = 4;

/// Seconds a mail is tried: one that says something of the day before yesterday surprises more than it helps.
pub const MAIL_SECONDS: i64 = 24 * 60 * 60;

/// Seconds until a mail is tried again whose server was down; three times as long after each that follows.
pub const MAIL_RETRY_SECONDS: i64 = 10;

/// Seconds between two tries at most.
pub const MAIL_RETRY_SECONDS_MAX: i64 = 30 * 60;

/// Seconds a signup may take before another may have its handle: submitting an operation is done in a few.
pub const RESERVATION_SECONDS: i64 = 10 * 60;

/// Signups under way in one answer: a reply stays below a megabyte.
pub const RESERVATIONS_MAX: usize = 500;

/// Characters of the label in a handle the service gives: as the reference server has it; shorter ones are sought after.
pub const HANDLE_LABEL_BYTES_MIN: usize = 3;

/// Characters of the label in a handle the service gives: as the reference server has it.
pub const HANDLE_LABEL_BYTES_MAX: usize = 18;

/// Bytes of a display name: 64 graphemes of ten bytes, as the profile lexicon has it.
pub const DISPLAY_NAME_BYTES_MAX: usize = 640;

/// Bytes of a model's name: provider, family, version and a date fit easily.
pub const MODEL_BYTES_MAX: usize = 256;

/// Bytes of an agent's configuration: a system prompt and its settings; it travels with every lookup of the account.
pub const AGENT_CONFIG_BYTES_MAX: usize = 32 * 1024;

/// Accounts on one page: with a full configuration each a reply still stays in memory comfortably.
pub const ACCOUNT_PAGE_MAX: usize = 1_000;

/// App passwords of one account: more are forgotten devices.
pub const APP_PASSWORDS_MAX: usize = 100;

/// Bytes of an app password's name.
pub const APP_PASSWORD_NAME_BYTES_MAX: usize = 128;

/// Tokens of one agent: a few runtimes and their rotation.
pub const AGENT_TOKENS_MAX: i64 = 100;

/// Invite codes made at once.
pub const INVITE_CODES_MAX: usize = 1_000;

/// Invite codes on one page: as the reference server has it.
pub const INVITE_PAGE_MAX: usize = 500;

/// Accounts of which the operator learns all at once.
pub const ACCOUNT_INFOS_MAX: usize = 100;

/// Signing keys that are promised at a time: what a busy day of accounts moving in comes to.
pub const RESERVED_KEYS_MAX: i64 = 1_000;

/// Seconds a promised signing key is kept: a move takes a day or two.
pub const RESERVED_KEY_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Signups with one invite code.
pub const INVITE_USES_MAX: i64 = 1_000_000;

/// Changes of several steps in one answer: a page of those that a crash or an unknown outcome left.
pub const FLOWS_MAX: usize = 100;

/// Notices in one read of the directory's outbox.
pub const DIRECTORY_OUTBOX_BATCH_MAX: usize = 500;

/// Requests of OAuth clients that one account is asked about at a time: a person has a few tabs.
pub const OAUTH_REQUESTS_MAX: i64 = 20;

/// Browsers of one account that are signed in to its pages: more are forgotten, and the oldest ends.
pub const BROWSER_SESSIONS_MAX: i64 = 50;

/// Seconds a browser stays signed in to an account's pages: a week, whatever it does.
pub const BROWSER_SESSION_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Seconds between a password and what is needed beside it: to find the device that has it.
pub const HALF_SIGN_IN_SECONDS: i64 = 5 * 60;

/// Browsers of one account that are between the two: a person has a few tabs.
pub const HALF_SIGN_INS_MAX: i64 = 20;

/// Seconds a secret of codes by time waits to be confirmed: to install an app, and find its camera.
pub const TOTP_SETUP_SECONDS: i64 = 10 * 60;

/// Codes on paper of one account: as many as others make; they fit on a note.
pub const RECOVERY_CODES: usize = 10;

/// Passkeys of one account: a person has a few devices, and looks through the list.
pub const PASSKEYS_MAX: usize = 20;

/// Bytes of a passkey's name.
pub const PASSKEY_NAME_BYTES_MAX: usize = 128;

/// Seconds a sign-in counts for what can't be undone: whoever finds a browser open later has to know the password.
pub const BROWSER_FRESH_SECONDS: i64 = 10 * 60;

/// Bytes of what a browser says it is.
pub const BROWSER_DEVICE_BYTES_MAX: usize = 64;

/// Sessions that an owner is shown of each kind: nobody reads more, and all of them end with one button.
pub const SESSIONS_SHOWN_MAX: i64 = 200;

/// OAuth sessions of one account: more are forgotten devices, and the one unused longest ends.
pub const OAUTH_SESSIONS_MAX: i64 = 100;

/// Devices from which an account was signed in to, each 150 bytes: more are forgotten, and would be news again.
pub const KNOWN_DEVICES_MAX: i64 = 50;

/// Mails a day that tell an owner of sign-ins from new devices: after these the account is somebody else's, or nobody reads.
pub const SIGN_IN_MAILS_A_DAY_MAX: i64 = 10;

/// Seconds between two looks at a handle on a domain of its owner: as app views have it.
pub const HANDLE_CHECK_SECONDS: i64 = 24 * 60 * 60;

/// Seconds between two looks at one that failed, or about which nobody answered: who sets it right does not wait for long.
pub const HANDLE_RECHECK_SECONDS: i64 = 60 * 60;

/// The part of such a time by which looks are spread: what began in one moment is soon spread over hours.
pub const HANDLE_CHECK_JITTER_PART: i64 = 8;

/// Handles looked at at a time: each asks the DNS and up to two servers, and nobody waits for it.
pub const HANDLES_AT_ONCE: usize = 4;

/// Accounts looked through for handles that are due, in one command: after an update all are, most of them for nothing.
pub const HANDLES_LOOKED_THROUGH: i64 = 200;
