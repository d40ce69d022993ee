//! Where OpenNebula is and as whom to call it, by the rules that all its tools follow.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::session::{ServerCredential, Session, SessionError};

/// The address that is used when nothing says otherwise.
pub const DEFAULT_ENDPOINT: &str = "http://localhost:2633/RPC2";

/// The environment variables of a process, or of a test.
///
/// | | first | second | third |
/// |---|---|---|---|
/// | endpoint | `$ONE_XMLRPC` | `~/.one/one_endpoint` | `/var/lib/one/.one/one_endpoint` |
/// | session | the file `$ONE_AUTH` | `~/.one/one_auth` | `/var/lib/one/.one/one_auth` |
///
/// With `$ONE_LOCATION` (self-contained installation) its `var` takes the place of `/var/lib/one`.
pub struct Environment {
    lookup: Box<Lookup>,
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// No usable credential. Names files, never their content.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// No file with a session exists.
    #[error("no OpenNebula session: looked for {}; write user:password into one of them or set ONE_AUTH", list(.tried))]
    Missing {
        /// The files that were looked for.
        tried: Vec<PathBuf>,
    },
    /// A file can't be read.
    #[error("can't read the credential {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold a credential.
    #[error("{path} holds no credential")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is expected.
        source: SessionError,
    },
}

impl Environment {
    /// The environment of this process.
    pub fn process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// An environment in which `lookup` answers for the variables.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            lookup: Box::new(lookup),
        }
    }

    /// A variable that is set to something.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// The address of the XML-RPC server.
    ///
    /// # Errors
    /// An endpoint file exists but can't be read.
    pub fn endpoint(&self) -> Result<String, CredentialError> {
        if let Some(endpoint) = self.var("ONE_XMLRPC") {
            return Ok(endpoint.trim().to_owned());
        }
        for path in self.dot_one("one_endpoint") {
            let Some(text) = read(&path)? else { continue };
            if !text.trim().is_empty() {
                return Ok(text.trim().to_owned());
            }
        }
        Ok(DEFAULT_ENDPOINT.to_owned())
    }

    /// The session of the user who runs this process.
    ///
    /// # Errors
    /// There is no file with a session, or the first that exists can't be used. `$ONE_AUTH` may name a file that
    /// does not exist: the others are tried then.
    pub fn session(&self) -> Result<Session, CredentialError> {
        let mut tried: Vec<PathBuf> = self.var("ONE_AUTH").map(PathBuf::from).into_iter().collect();
        tried.extend(self.dot_one("one_auth"));
        for path in &tried {
            if let Some(text) = read(path)? {
                return Session::parse(&text).map_err(|source| CredentialError::Content {
                    path: path.clone(),
                    source,
                });
            }
        }
        Err(CredentialError::Missing { tried })
    }

    /// The credential of a server user: the file `path`, or `oneks_auth` beside oneadmin's own.
    ///
    /// # Errors
    /// The file can't be used.
    pub fn server_credential(&self, path: Option<&Path>) -> Result<ServerCredential, CredentialError> {
        let path = path.map_or_else(|| self.var_lib().join(".one/oneks_auth"), Path::to_owned);
        match read(&path)? {
            Some(text) => {
                ServerCredential::parse(&text).map_err(|source| CredentialError::Content { path, source })
            }
            None => Err(CredentialError::Missing { tried: vec![path] }),
        }
    }

    /// `/var/lib/one`, wherever it is.
    pub fn var_lib(&self) -> PathBuf {
        match self.var("ONE_LOCATION") {
            Some(location) => Path::new(&location).join("var"),
            None => PathBuf::from("/var/lib/one"),
        }
    }

    fn dot_one(&self, name: &str) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.var("HOME").map(PathBuf::from).into_iter().collect();
        let var_lib = self.var_lib();
        if !paths.contains(&var_lib) {
            paths.push(var_lib);
        }
        paths.iter().map(|path| path.join(".one").join(name)).collect()
    }
}

/// The content of a file, `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, CredentialError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(CredentialError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn environment<'a>(vars: impl IntoIterator<Item = (&'static str, &'a Path)>) -> Environment {
        let vars: HashMap<_, _> = vars
            .into_iter()
            .map(|(name, path)| (name, path.display().to_string()))
            .collect();
        Environment::new(move |name| vars.get(name).cloned())
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_first_source_wins() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let location = dir.path().join("one");
        let named = dir.path().join("named");
        let full = environment([
            ("HOME", &*home),
            ("ONE_LOCATION", &*location),
            ("ONE_AUTH", &*named),
        ]);
        assert_eq!(full.endpoint().unwrap(), DEFAULT_ENDPOINT);
        let missing = full.session().unwrap_err().to_string();
        for path in [
            &named,
            &home.join(".one/one_auth"),
            &location.join("var/.one/one_auth"),
        ] {
            assert!(missing.contains(&path.display().to_string()), "{missing}");
        }

        write(&location.join("var/.one/one_auth"), "system:1\n");
        write(&location.join("var/.one/one_endpoint"), "http://system/RPC2\n");
        assert_eq!(full.session().unwrap().user(), "system");
        assert_eq!(full.endpoint().unwrap(), "http://system/RPC2");
        write(&home.join(".one/one_auth"), "home:1\n");
        write(&home.join(".one/one_endpoint"), " \n");
        assert_eq!(full.session().unwrap().user(), "home");
        assert_eq!(full.endpoint().unwrap(), "http://system/RPC2");
        write(&named, "named:1\n");
        assert_eq!(full.session().unwrap().user(), "named");
        let variable = environment([
            ("HOME", &*home),
            ("ONE_XMLRPC", Path::new("http://variable/RPC2 ")),
        ]);
        assert_eq!(variable.endpoint().unwrap(), "http://variable/RPC2");
    }

    #[test]
    fn a_bad_file_is_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join("auth");
        write(&named, "hunter2");
        let environment = environment([("ONE_AUTH", &*named), ("ONE_LOCATION", dir.path())]);
        let error = environment.session().unwrap_err();
        assert!(matches!(&error, CredentialError::Content { path, .. } if *path == named));
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn the_server_credential_has_its_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let environment = environment([("ONE_LOCATION", dir.path())]);
        let error = environment.server_credential(None).unwrap_err().to_string();
        assert!(error.contains("var/.one/oneks_auth"), "{error}");
        write(&dir.path().join("var/.one/oneks_auth"), "serveradmin:1\n");
        assert!(environment.server_credential(None).is_ok());
        let other = dir.path().join("oneflow_auth");
        write(&other, "serveradmin:2\n");
        let credential = environment.server_credential(Some(&other)).unwrap();
        assert_eq!(credential, ServerCredential::parse("serveradmin:2").unwrap());
    }
}
