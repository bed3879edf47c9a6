package attester

import (
	"io"
	"os"
)

// FS is the little of a file system that configfs-tsm needs. Errors are those of the operating system: the code asks
// for syscall.EBUSY, fs.ErrNotExist and their like with errors.Is.
type FS interface {
	Mkdir(dir string) error
	Remove(dir string) error
	// ReadFile reads at most limit bytes and one more, so that the caller sees that there was more.
	ReadFile(name string, limit int) ([]byte, error)
	// WriteFile writes data with one open, write and close: configfs takes a binary attribute at close.
	WriteFile(name string, data []byte) error
}

// OS is the file system of the machine.
type OS struct{}

// Mkdir implements [FS].
func (OS) Mkdir(dir string) error { return os.Mkdir(dir, 0o700) }

// Remove implements [FS]. Attributes of a configfs entry vanish with it, so this is rmdir.
func (OS) Remove(dir string) error { return os.Remove(dir) }

// ReadFile implements [FS].
func (OS) ReadFile(name string, limit int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)+1))
}

// WriteFile implements [FS]. It does not create files: an attribute that is not there is an error.
func (OS) WriteFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
