//! The smallest program of each language that enqueues an event and waits for its delivery, as lines to paste into
//! a shell.
//!
//! Each program takes where to send from its environment, so the same text works against any sandbox.

use meditopia_sandbox::Handle;

/// A language that has a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// A PHP script
    Php,
    /// A Python script
    Python,
    /// A C program
    C,
    /// A C++ program
    Cpp,
    /// A CSV file, without any program
    Csv,
}

/// A program and how it is run.
struct Program {
    /// What has to be installed besides the command.
    needs: &'static str,
    file: &'static str,
    text: &'static str,
    /// What comes before it can be run.
    build: Option<&'static str>,
    run: &'static str,
    /// The line that enqueues, for the overview of all languages.
    enqueue: &'static str,
}

impl Language {
    /// In the order of the overview.
    const ALL: [Self; 5] = [Self::Php, Self::Python, Self::C, Self::Cpp, Self::Csv];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Php => "PHP",
            Self::Python => "Python",
            Self::C => "C",
            Self::Cpp => "C++",
            Self::Csv => "CSV",
        }
    }

    /// What has to be installed besides the command, in a sentence.
    pub fn needs(self) -> &'static str {
        self.program().needs
    }

    /// Lines for a shell that write the program and run it against a sandbox that lasts as long as the program.
    pub fn lines_with_a_sandbox(self) -> String {
        let run = self.program().run;
        self.lines(&format!(
            "MEDITOPIA_SPOOL=$(mktemp -d)/spool meditopia sandbox -- {run}"
        ))
    }

    /// Lines for a shell that write the program and run it against `api`.
    pub fn lines_against(self, api: &Handle) -> String {
        self.lines(&format!("{}\n{}", environment(api), self.program().run))
    }

    fn lines(self, run: &str) -> String {
        let Program {
            file, text, build, ..
        } = self.program();
        let build = build.map_or_else(String::new, |build| format!("{build}\n"));
        format!("cat > {file} <<'END'\n{text}END\n{build}{run}")
    }

    fn program(self) -> Program {
        match self {
            Self::Php => Program {
                needs: "Needs PHP with FFI, and the package: composer require meditopia/partner-events",
                file: "first.php",
                text: include_str!("programs/first.php"),
                build: None,
                run: "php first.php",
                enqueue: "$client->enqueue('user-token-1', 'user-1', 'video');",
            },
            Self::Python => Program {
                needs: "Needs Python, and the package: pip install meditopia",
                file: "first.py",
                text: include_str!("programs/first.py"),
                build: None,
                run: "python3 first.py",
                enqueue: r#"client.enqueue(token="user-token-1", partner_user_id="user-1", event="video")"#,
            },
            Self::C => Program {
                needs: "Needs a C compiler, and the library with its header: the archive, libmeditopia-dev or make install",
                file: "first.c",
                text: include_str!("programs/first.c"),
                build: Some("cc -std=c99 first.c -lmeditopia -o first"),
                run: "./first",
                enqueue: r#"meditopia_enqueue(client, "user-token-1", "user-1", "video", NULL, NULL, &error);"#,
            },
            Self::Cpp => Program {
                needs: "Needs a compiler for C++17, and the library with its headers: the archive, libmeditopia-dev or make install",
                file: "first.cpp",
                text: include_str!("programs/first.cpp"),
                // glibc before 2.34 has dlsym in a library of its own.
                build: Some("c++ -std=c++17 first.cpp -lmeditopia -ldl -o first"),
                run: "./first",
                enqueue: r#"client.enqueue("user-token-1", "user-1", meditopia::event_type::video);"#,
            },
            Self::Csv => Program {
                needs: "Needs nothing but this command",
                file: "first.csv",
                text: include_str!("programs/first.csv"),
                build: None,
                run: "meditopia import --flush first.csv",
                enqueue: "meditopia import --flush events.csv",
            },
        }
    }
}

/// How each language begins, a line each.
pub fn overview() -> impl Iterator<Item = String> {
    Language::ALL
        .into_iter()
        .map(|language| format!("{:<6}  {}", language.name(), language.program().enqueue))
}

/// A line for a shell after which the programs that it starts send to `api`, from a spool of their own: a spool belongs
/// to one endpoint.
fn environment(api: &Handle) -> String {
    format!(
        "export MEDITOPIA_ENDPOINT={} MEDITOPIA_BEARER_TOKEN={} MEDITOPIA_SPOOL=$(mktemp -d)/spool",
        api.endpoint(),
        api.token()
    )
}
