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

/// Seconds a mailed code is good for: as the reference server has it.
pub const MAIL_CODE_SECONDS: i64 = 15 * 60;

/// Seconds a signup may take before another may have its handle: submitting an operation is done in a few.
pub const RESERVATION_SECONDS: i64 = 10 * 60;

/// Signups under way in one answer: a reply stays below a megabyte.
pub const RESERVATIONS_MAX: usize = 500;

/// Characters of the label in a handle the service gives: as the reference server has it; shorter ones are sought after.
pub const HANDLE_LABEL_BYTES_MIN: usize = 3;

/// Characters of the label in a handle the service gives: as the reference server has it.
pub const HANDLE_LABEL_BYTES_MAX: usize = 18;

/// Bytes of an e-mail address: RFC 5321's path without its brackets.
pub const EMAIL_BYTES_MAX: usize = 254;

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

/// Signups with one invite code.
pub const INVITE_USES_MAX: i64 = 1_000_000;

/// Changes of several steps in one answer: a page of those that a crash or an unknown outcome left.
pub const FLOWS_MAX: usize = 100;

/// Notices in one read of the directory's outbox.
pub const DIRECTORY_OUTBOX_BATCH_MAX: usize = 500;
