//! Options of NVRTC and what they mean to g++.

/// What a program's options ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Options of the preprocessor.
    pub(super) preprocessor: Vec<String>,
    /// Options of the compiler proper.
    pub(super) compiler: Vec<String>,
    /// The value of `__CUDA_ARCH__`.
    pub(super) architecture: u32,
    /// Whether `-I` makes files visible that are not part of the program.
    pub(super) reads_files: bool,
}

/// Options that have no meaning on a CPU, without their values.
const IGNORED: [&str; 22] = [
    "--device-as-default-execution-space",
    "-default-device",
    "--use_fast_math",
    "-use_fast_math",
    "--ftz",
    "--prec-sqrt",
    "--prec-div",
    "--maxrregcount",
    "-maxrregcount",
    "--generate-line-info",
    "-lineinfo",
    "--device-debug",
    "-G",
    "--dopt",
    "--extra-device-vectorization",
    "--restrict",
    "--split-compile",
    "--ptxas-options",
    "-Xptxas",
    "--display-error-number",
    "--disable-warnings",
    "-w",
];

/// Translates options; an error is the message that NVRTC would put into its log.
pub(super) fn parse(options: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed {
        preprocessor: Vec::new(),
        compiler: Vec::new(),
        architecture: 750,
        reads_files: false,
    };
    let (mut standard, mut fused) = ("gnu++17".to_string(), true);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (option.as_str(), None),
        };
        let mut value = || value.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
        match name {
            "--gpu-architecture" | "-arch" => {
                let text = value();
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                let number = digits.parse::<u32>();
                parsed.architecture = 10 * number.map_err(|_| invalid(option))?;
                if text.ends_with('a') {
                    parsed.preprocessor.push(format!("-D__CUDA_ARCH_FEAT_SM{digits}_ALL=1"));
                }
            }
            "--std" | "-std" => standard = value().replace("c++", "gnu++"),
            "--fmad" | "-fmad" => fused = value() != "false",
            "--define-macro" => parsed.preprocessor.push(format!("-D{}", value())),
            "--include-path" => {
                parsed.reads_files = true;
                parsed.preprocessor.push(format!("-I{}", value()));
            }
            _ if option.starts_with("-D") => parsed.preprocessor.push(option.clone()),
            _ if option.starts_with("-I") => {
                parsed.reads_files = true;
                parsed.preprocessor.push(option.clone());
            }
            // Its value follows as an option of its own.
            "-Xptxas" => drop(value()),
            _ if IGNORED.contains(&name) => {}
            _ => return Err(invalid(option)),
        }
    }
    parsed.preprocessor.insert(0, format!("-std={standard}"));
    let contraction = if fused { "fast" } else { "off" };
    parsed.compiler = vec![format!("-std={standard}"), format!("-ffp-contract={contraction}")];
    Ok(parsed)
}

fn invalid(option: &str) -> String {
    format!("nvrtc: error: invalid value for --gpu-architecture or unrecognized option {option}\n")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn options_are_translated() {
        let options = ["--gpu-architecture=sm_90a", "--std=c++17", "-DN=3", "--fmad=false"];
        let parsed = parse(&options.map(String::from)).expect("known options");
        assert_eq!(parsed.architecture, 900);
        let feature = "-D__CUDA_ARCH_FEAT_SM90_ALL=1";
        assert_eq!(parsed.preprocessor, ["-std=gnu++17", feature, "-DN=3"]);
        assert_eq!(parsed.compiler, ["-std=gnu++17", "-ffp-contract=off"]);
        assert!(!parsed.reads_files);
        assert!(parse(&["--no-such-option".to_string()]).is_err());
    }
}
