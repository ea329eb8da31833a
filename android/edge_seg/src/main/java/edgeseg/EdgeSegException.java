package edgeseg;

/** What edge-seg could not do: the message names the reason and the remedy. */
public final class EdgeSegException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The reason for programs, such as "hash-mismatch". */
    public final String code;

    EdgeSegException(String code, String message) {
        super(message);
        this.code = code;
    }
}
