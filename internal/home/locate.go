package home

import (
	"os"
	"os/exec"
	"path/filepath"

	"testudo/internal/config"
)

// Variable is the environment variable that names the home.
const Variable = "TESTUDO_HOME"

// Installed is where a 4.7.5 installation is when nothing else is said.
const Installed = "/var/ossec"

// Locate finds the home: the flag when it is not empty, else $TESTUDO_HOME, else
// the directory above the executable's bin/ when that holds etc/ossec.conf, else
// /var/ossec. why says in a few words which of them it was.
func Locate(flag string) (dir, why string) {
	return locate(flag, os.Getenv(Variable), executables())
}

func locate(flag, variable string, executables []string) (dir, why string) {
	switch {
	case flag != "":
		return absolute(flag), "--home"
	case variable != "":
		return absolute(variable), "$" + Variable
	}
	for _, file := range executables {
		bin := filepath.Dir(file)
		above := filepath.Dir(bin)
		if filepath.Base(bin) != "bin" {
			continue
		}
		if info, err := os.Stat(filepath.Join(above, config.ConfPath)); err == nil && info.Mode().IsRegular() {
			return above, "above the executable " + file
		}
	}
	return Installed, "where installations are"
}

// executables gives the path by which we were called, where a link in a home's
// bin/ still shows, and then the file that it leads to.
func executables() (files []string) {
	if called, err := exec.LookPath(os.Args[0]); err == nil {
		files = append(files, absolute(called))
	}
	if file, err := os.Executable(); err == nil {
		files = append(files, file)
	}
	return files
}

func absolute(dir string) string {
	if full, err := filepath.Abs(dir); err == nil {
		return full
	}
	return dir
}
