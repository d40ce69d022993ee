//! Marks for secrets and attachments in a driver's texts.
//!
//! A driver never sees a secret. Where one belongs it writes a mark, and the hooks put the value in at the moment of
//! the call. Marks expand to base64, whose characters need no quoting in YAML, JSON, shell or template syntax.

/// Base64 of the cluster's own credential, `user:token`.
pub const ONE_AUTH_BASE64: &str = "@ONEKS:BASE64:ONE_AUTH@";

/// The mark of the attachment `name`: base64 of its text, after the secrets in it were filled in.
///
/// ```
/// assert_eq!(oneks_driver::secret::attachment("manifest"), "@ONEKS:BASE64:ATTACHMENT:manifest@");
/// ```
pub fn attachment(name: &str) -> String {
    format!("@ONEKS:BASE64:ATTACHMENT:{name}@")
}
